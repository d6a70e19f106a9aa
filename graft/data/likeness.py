"""stub until merged"""

from typing import NamedTuple

import numpy as np


class Signature(NamedTuple):
    perceptual_hash: bytes
    descriptor: bytes


def picture_signature(grey_HW: np.ndarray) -> Signature:
    return Signature(bytes(32), bytes(64))


SIGNATURE_BYTES = 64


def similarity(a, b):
    return 0.0
