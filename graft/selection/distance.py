"""Distance of a target from the data of one source: shown in the report, not used in the choice."""

import numpy as np
import torch

from graft.hub.catalogue import Source
from graft.hub.samples import sample_images
from graft.modalities.image.inputs import Normalise, resize
from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Backbone
from graft.networks.batchnorm_shift import batchnorm_shift
from graft.selection.features import embed
from graft.statistics.distances import mmd_p_value, mmd_squared

NUM_COMPARED = 64
"""Number of target images; more change only the second digit."""
SAMPLED_DOMAIN = "photographs"
"""The domain of `graft.hub.samples`."""


def distances(
    source: Source, backbone: Backbone, images_N3SS: torch.Tensor, features_ND: np.ndarray, device: torch.device
) -> dict[str, float]:
    """batchnorm_shift if the backbone has BatchNorm; mmd_squared and mmd_p if there are samples of the source's domain.

    Args:
        images_N3SS: of some target samples, as the features; see `NUM_COMPARED`.
    Raises:
        DownloadError, HashMismatchError: the samples of the source's domain are not available.
    """
    normalise = Normalise.of(source.preprocessing).to(device)
    found: dict[str, float] = {}
    # a folded norm has no statistics of the images that the source was trained on
    has_own_statistics = not any(isinstance(module, FoldedNorm) and module.is_folded for module in backbone.modules())
    shift = batchnorm_shift(backbone.to(device), normalise(images_N3SS.to(device))) if has_own_statistics else None
    if shift is not None:
        found["batchnorm_shift"] = shift
    if source.trained_on.domain == SAMPLED_DOMAIN:
        side_px = images_N3SS.shape[-1]
        samples_M3SS = torch.cat([resize(sample.pixels_13HW(), side_px) for sample in sample_images()])
        samples_MD = embed(source, backbone, samples_M3SS.round().to(torch.uint8), device).numpy()
        found["mmd_squared"] = mmd_squared(features_ND, samples_MD)
        found["mmd_p"] = mmd_p_value(features_ND, samples_MD)
    return found
