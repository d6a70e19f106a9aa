"""Pictures made worse in ways that cameras and networks make them worse: S side, 3 channels.

Definitions and strengths are those of ImageNet-C, severities 1, 3 and 5. They are made for squares of 224 px, in which
a blur of 6 px or blocks of 8 px are a certain share of the picture; so a picture of any size is first resized to such
a square (`frame_side_px`), and small ones are not destroyed.

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
"""Of ImageNet-C; the numbers below are in their order."""
FRAME_PX = 224
BLUR_SIGMAS_PX = (1, 3, 6)
"""In a frame of FRAME_PX; a larger one gets as much more."""
NOISE_DEVIATIONS = (0.08, 0.18, 0.38)
"""Of the range from black to white."""
BRIGHTNESS_STEPS = (0.1, 0.3, 0.5)
"""Added to the value of HSV, 0..1."""
JPEG_QUALITIES = (25, 15, 7)
"""0..100, as Pillow counts them."""


def frame_side_px(image_size_px: int) -> int:
    """Side of the square that is corrupted: never smaller than what the network sees.

    Args:
        image_size_px: of the network.
    """
    return max(FRAME_PX, image_size_px)


def corrupted(
    picture_SS3: np.ndarray, corruption: CorruptionName, severity: int, *, sample_id: str, seed: int
) -> np.ndarray:
    """A changed copy, uint8 as the picture.

    Args:
        picture_SS3: uint8, RGB.
        severity: one of `SEVERITIES`.
        sample_id: hex digits; the noise follows from them and the seed, not from the order of the pictures. It is the
            same at every severity, times its deviation.
    """
    strength = SEVERITIES.index(severity)
    match corruption:
        case "blur":
            return _blurred(picture_SS3, BLUR_SIGMAS_PX[strength] * len(picture_SS3) / FRAME_PX)
        case "noise":
            generator = np.random.default_rng([seed, int(sample_id[:16], 16)])
            return _noisy(picture_SS3, NOISE_DEVIATIONS[strength], generator)
        case "brightness":
            return _brightened(picture_SS3, BRIGHTNESS_STEPS[strength])
        case "jpeg":
            return _compressed(picture_SS3, JPEG_QUALITIES[strength])


def _blurred(picture_SS3: np.ndarray, sigma_px: float) -> np.ndarray:
    return _pixels(gaussian_filter(picture_SS3.astype(np.float32), (sigma_px, sigma_px, 0), mode="nearest"))


def _noisy(picture_SS3: np.ndarray, deviation: float, generator: np.random.Generator) -> np.ndarray:
    return _pixels(picture_SS3 + 255 * deviation * generator.standard_normal(picture_SS3.shape))


def _brightened(picture_SS3: np.ndarray, step: float) -> np.ndarray:
    """Value is the largest channel; hue and saturation stay where all channels grow by its factor. Black becomes
    grey."""
    value_SS1 = picture_SS3.max(axis=2, keepdims=True).astype(float)
    share_SS3 = np.divide(picture_SS3, value_SS1, out=np.ones(picture_SS3.shape), where=value_SS1 > 0)
    return _pixels(share_SS3 * np.minimum(255, value_SS1 + 255 * step))


def _compressed(picture_SS3: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture_SS3).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.array(image)


def _pixels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)
