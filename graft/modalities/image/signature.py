"""Signature for finding near duplicates among images: a hash and a descriptor of the grey image.

S side of the working square.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
from PIL import Image
from scipy.ndimage import uniform_filter

SIGNATURE_PX = 64
HASH_SIDE = 16


@dataclass(frozen=True)
class Signature:
    perceptual_hash: bytes
    """Hash of 32 bytes: which of the 16 x 16 lowest DCT coefficients are above their median."""
    descriptor: bytes
    """Vector of 128 uint8: edge directions on a 4 x 4 grid, then the log-polar power spectrum."""


def image_signature(grey_HW: np.ndarray) -> Signature:
    """Signature of a grey image, uint8, upright, of any size from 1 x 1; 256 px on the longer side are enough."""
    image = Image.fromarray(grey_HW)
    small_SS = np.asarray(image.resize((SIGNATURE_PX, SIGNATURE_PX), Image.Resampling.BOX), dtype=np.float32)
    lowest = scipy.fft.dctn(small_SS)[:HASH_SIDE, :HASH_SIDE]
    perceptual_hash = np.packbits(lowest > np.median(lowest)).tobytes()
    numbers = np.concatenate([255 * _edge_directions(small_SS), 40 * _log_polar_spectrum(small_SS)])
    return Signature(perceptual_hash, numbers.round().clip(0, 255).astype(np.uint8).tobytes())


def _edge_directions(small_SS: np.ndarray) -> np.ndarray:
    """Strength of four edge directions in each cell of a soft 4 x 4 grid, [64], 0..1; faint edges count too."""
    across, down = np.zeros_like(small_SS), np.zeros_like(small_SS)
    across[:, 1:-1] = small_SS[:, 2:] - small_SS[:, :-2]
    down[1:-1] = small_SS[2:] - small_SS[:-2]
    strength = np.hypot(across, down) + 4
    across, down = across / strength, down / strength
    halves = np.float32(np.sqrt(0.5))
    directions = np.abs(np.stack([across, down, (across + down) * halves, (across - down) * halves]))
    grid = _grid_weights()
    return np.sqrt(grid @ directions @ grid.T).ravel()


def _log_polar_spectrum(small_SS: np.ndarray) -> np.ndarray:
    """Log magnitudes [64] on 8 radii x 8 angles, after evening out local contrast; invariant to shifts."""
    detail = small_SS - uniform_filter(small_SS, 9)
    even = detail / (np.sqrt(uniform_filter(detail**2, 9).clip(min=0)) + 2)
    window = _window()
    magnitudes = np.abs(scipy.fft.rfft2(even * window * window[:, None]))
    return _log_polar_weights() @ np.log1p(magnitudes).ravel()


@cache
def _window() -> np.ndarray:
    return np.hanning(SIGNATURE_PX + 2)[1:-1].astype(np.float32)


@cache
def _grid_weights() -> np.ndarray:
    centres = (np.arange(SIGNATURE_PX) + 0.5) / SIGNATURE_PX * 4 - 0.5
    weights = (1 - np.abs(centres - np.arange(4)[:, None])).clip(min=0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def _log_polar_weights() -> np.ndarray:
    rows = np.fft.fftfreq(SIGNATURE_PX)[:, None] * SIGNATURE_PX
    columns = np.arange(SIGNATURE_PX // 2 + 1)[None]
    radii = (np.log(np.hypot(rows, columns).clip(min=1e-6)) - np.log(2)) / np.log(26 / 2) * 7
    angles = np.arctan2(rows, columns + 1e-9) % np.pi / np.pi * 8
    weights = np.stack(
        [
            ((1 - np.abs(radii - radius)).clip(min=0) * (1 - np.abs((angles - angle + 4) % 8 - 4)).clip(min=0)).ravel()
            for radius in range(8)
            for angle in range(8)
        ]
    )
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
