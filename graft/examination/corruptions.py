"""Corruptions of images as they occur in cameras and networks: S side, 3 channels.

Definitions and severities are those of ImageNet-C, severities 1, 3 and 5. They were made for squares of 224 px, in
which a blur of 6 px or blocks of 8 px cover a certain share of the image. An image of any size is therefore resized to
such a square first (`frame_side_px`), so that small ones are not destroyed.

Source: Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
    section 4.1; the numbers are those of its code.
"""

import io
from typing import get_args

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from graft.examination.result import CorruptionName

CORRUPTIONS: tuple[CorruptionName, ...] = get_args(CorruptionName)
SEVERITIES = (1, 3, 5)
"""Severities of ImageNet-C; the numbers below are in their order."""
FRAME_PX = 224
BLUR_SIGMAS_PX = (1, 3, 6)
"""Standard deviation of the blur in a frame of FRAME_PX; it scales with the frame."""
NOISE_DEVIATIONS = (0.08, 0.18, 0.38)
"""Standard deviation of the noise, as a share of the range from black to white."""
BRIGHTNESS_STEPS = (0.1, 0.3, 0.5)
"""Increase of the value of HSV, 0..1."""
JPEG_QUALITIES = (25, 15, 7)
"""Quality of the JPEG, 0..100, on Pillow's scale."""


def frame_side_px(image_size_px: int) -> int:
    """Side of the square that is corrupted: never smaller than the network's input.

    Args:
        image_size_px: side of the network's input.
    """
    return max(FRAME_PX, image_size_px)


def corrupted(
    image_SS3: np.ndarray, corruption: CorruptionName, severity: int, *, sample_id: str, seed: int
) -> np.ndarray:
    """Corrupted copy, uint8.

    Args:
        image_SS3: uint8, RGB.
        severity: one of `SEVERITIES`.
        sample_id: hex digits. The noise depends on them and on the seed, not on the order of the images; at every
            severity it is the same, times the severity's deviation.
    """
    number = SEVERITIES.index(severity)
    match corruption:
        case "blur":
            return _blurred(image_SS3, BLUR_SIGMAS_PX[number] * len(image_SS3) / FRAME_PX)
        case "noise":
            generator = np.random.default_rng([seed, int(sample_id[:16], 16)])
            return _noisy(image_SS3, NOISE_DEVIATIONS[number], generator)
        case "brightness":
            return _brightened(image_SS3, BRIGHTNESS_STEPS[number])
        case "jpeg":
            return _compressed(image_SS3, JPEG_QUALITIES[number])


def _blurred(image_SS3: np.ndarray, sigma_px: float) -> np.ndarray:
    return _pixels(gaussian_filter(image_SS3.astype(np.float32), (sigma_px, sigma_px, 0), mode="nearest"))


def _noisy(image_SS3: np.ndarray, deviation: float, generator: np.random.Generator) -> np.ndarray:
    return _pixels(image_SS3 + 255 * deviation * generator.standard_normal(image_SS3.shape))


def _brightened(image_SS3: np.ndarray, step: float) -> np.ndarray:
    """Brighter copy: value is the largest channel, and all channels grow by its factor, which keeps hue and saturation.
    Black becomes grey."""
    value_SS1 = image_SS3.max(axis=2, keepdims=True).astype(float)
    share_SS3 = np.divide(image_SS3, value_SS1, out=np.ones(image_SS3.shape), where=value_SS1 > 0)
    return _pixels(share_SS3 * np.minimum(255, value_SS1 + 255 * step))


def _compressed(image_SS3: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image_SS3).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.array(image)


def _pixels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)
