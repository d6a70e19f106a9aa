"""Predictions of a classifier, with accuracy and loss. N samples, B batch, K classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from graft.core.finite import clipped_logs, predicted_classes
from graft.networks.backbones import Classifier
from graft.training.activations import EVALUATION_BATCH_SIZE
from graft.training.data import LabelledSamples


@torch.no_grad()
def predict(model: Classifier, samples: LabelledSamples, num_views: int | None = None) -> Tensor:
    """Class probabilities [N, K] on the CPU: the mean softmax over the first `num_views` views (all by default)."""
    model.eval()
    depth = model.num_frozen
    num_views = samples.inputs.num_views if num_views is None else num_views
    rows = []
    for indices_B in torch.arange(len(samples)).split(EVALUATION_BATCH_SIZE):
        views = [
            model(samples.batch(indices_B, torch.full_like(indices_B, view), depth), start=depth).softmax(dim=1)
            for view in range(num_views)
        ]
        rows.append(torch.stack(views).mean(dim=0).cpu())
    return torch.cat(rows)


def accuracy(probabilities_NK: Tensor, labels_N: Tensor) -> float:
    """Share of correct predictions, 0..1; samples with probabilities that are not finite count as wrong."""
    predicted_N = torch.from_numpy(predicted_classes(probabilities_NK.numpy()))
    return (predicted_N == labels_N).double().mean().item()


def log_loss(probabilities_NK: Tensor, labels_N: Tensor) -> float:
    """Mean negative log-likelihood, in nats; see `clipped_logs`. NaN if a probability is NaN."""
    return F.nll_loss(clipped_logs(probabilities_NK), labels_N).item()
