"""Twenty labelled photographs from ImageNet, to look at what a source sees."""

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
"""The package is not installed: the photographs that it brings as examples are read out of it."""


@dataclass(frozen=True)
class SamplePicture:
    name: str
    class_index: int
    """Among the 1,000 of ImageNet-1k."""
    pixels_HWC: np.ndarray
    """uint8 RGB."""

    def pixels_13HW(self) -> Tensor:
        """A batch of one."""
        return torch.from_numpy(self.pixels_HWC.copy()).permute(2, 0, 1)[None]


def sample_pictures() -> list[SamplePicture]:
    """
    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    pictures = []
    with zipfile.ZipFile(fetch_package(PACKAGE, PACKAGE_SHA256)) as archive:
        for member in sorted(archive.namelist()):
            labelled = re.fullmatch(r"foolbox/data/(imagenet_\d+_(\d+))\.jpg", member)
            if labelled:
                pixels_HWC = decode(archive.read(member))
                pictures.append(SamplePicture(labelled[1], int(labelled[2]), pixels_HWC))
    return pictures
