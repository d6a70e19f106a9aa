"""Twenty labelled photographs from ImageNet, for checking a source."""

import re
import zipfile
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graft.hub.packages import fetch_package
from graft.modalities.image.reading import decode

PACKAGE = "foolbox==3.3.4"
PACKAGE_SHA256 = "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
"""Hash of the package, which is not installed: only its example photographs are read."""


@dataclass(frozen=True)
class SampleImage:
    name: str
    class_index: int
    """Index among the 1,000 classes of ImageNet-1k."""
    pixels_HWC: np.ndarray
    """RGB, uint8."""

    def pixels_13HW(self) -> Tensor:
        """The image as a batch of one, [1, 3, H, W]."""
        return torch.from_numpy(self.pixels_HWC.copy()).permute(2, 0, 1)[None]


def sample_images() -> list[SampleImage]:
    """
    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    images = []
    with zipfile.ZipFile(fetch_package(PACKAGE, PACKAGE_SHA256)) as archive:
        for member in sorted(archive.namelist()):
            labelled = re.fullmatch(r"foolbox/data/(imagenet_\d+_(\d+))\.jpg", member)
            if labelled:
                pixels_HWC = decode(archive.read(member))
                images.append(SampleImage(labelled[1], int(labelled[2]), pixels_HWC))
    return images
