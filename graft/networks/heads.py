"""The last layers, from features to logits.

B batch, D features, K classes.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graft.core.choices import Head

MAX_HIDDEN_FEATURES = 512
"""fastai's width of a hidden layer between pretrained features and few classes (Howard and Gugger 2020,
arXiv 2002.04688). With the 2,048 features of a ResNet-50 as width, four times as many weights would be new."""


def make_head(kind: Head, num_features: int, num_classes: int) -> nn.Module:
    """A head that maps features [B, D] to logits [B, K], initialised from torch's global random state.

    linear  one linear layer: `weight`, `bias`.
    mlp     one hidden layer of min(D, 512) rectified units: `hidden.weight`, `hidden.bias`, `output.weight`,
            `output.bias`. No wider than its input, which has only D dimensions.
    cosine  see `CosineHead`: `weight`, `scale`.
    """
    match kind:
        case "linear":
            return nn.Linear(num_features, num_classes)
        case "mlp":
            width = min(num_features, MAX_HIDDEN_FEATURES)
            hidden, output = nn.Linear(num_features, width), nn.Linear(width, num_classes)
            return nn.Sequential(OrderedDict(hidden=hidden, activation=nn.ReLU(), output=output))
        case "cosine":
            return CosineHead(num_features, num_classes)


def head_of(state: dict[str, Tensor]) -> tuple[Head, int]:
    """The kind of a saved `Classifier`'s head and its number of classes, by the names of its tensors."""
    if "head.output.bias" in state:
        return "mlp", len(state["head.output.bias"])
    if "head.scale" in state:
        return "cosine", len(state["head.weight"])
    return "linear", len(state["head.bias"]) if "head.bias" in state else 2  # loading reports what is missing


class CosineHead(nn.Module):
    """Head whose logits are a learned scale times the cosine between the features and one vector per class.

    The length of the features has no effect, so a class with many samples cannot win by longer vectors.

    Source: Gidaris and Komodakis 2018 (arXiv 1804.09458), section 3.2, and their code for the initial values: vectors
    from a normal distribution, scale 10. Chen et al. 2019 (arXiv 1904.04232) compare it with a linear head.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, num_features) * (2 / num_features) ** 0.5)
        self.scale = nn.Parameter(torch.tensor([10.0]))

    def forward(self, features_BD: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features_BD, dim=1), F.normalize(self.weight, dim=1))
