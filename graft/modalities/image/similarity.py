"""Similarity of two images in fine detail: aligned by shift and scale, then compared window by window.

Images are grey, uint8, upright, 0..255. A box is left, top, right, bottom in fractions of an image's sides.
H height, W width, S side of a working square, T tiles, P tile side, Q side of a tile's search window.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from PIL import Image
from scipy.ndimage import uniform_filter

Box = tuple[float, float, float, float]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
COARSE_PX, FINE_PX = 64, 128
MIN_SIDE_PX = 24
"""Side below which an image has too little detail to distinguish a copy from a look-alike."""
LARGEST_DISTORTION = 0.3
"""Share of an image's side beyond which shifts and changes of scale are not searched for."""
HOPELESS_BELOW, PROMISING_FROM = 0.4, 0.85
"""Coarse agreement below which a second search is skipped, and from which the fine steps follow. Without the fine
steps, the coarse agreement is the similarity."""
FORGIVEN_VARIANCE = 8.0
"""Variance that JPEG and resizing cause between copies, in squared grey levels; SSIM has a constant for this too."""
CONSTANT_VARIANCE = 0.01
"""Variance below which a window of both images is artificial background, and carries no evidence."""
LARGEST_CHANCE_AGREEMENT = 0.88
"""Agreement of unrelated images with the same detail above which there is no evidence."""


@dataclass(frozen=True)
class Prepared:
    """An image prepared for comparison with many others."""

    image: Image.Image
    reduced: Image.Image
    side_px: int
    coarse_SS: np.ndarray


def prepare(grey_HW: np.ndarray) -> Prepared:
    image = Image.fromarray(grey_HW)
    reduced = image.resize((FINE_PX, FINE_PX), Image.Resampling.BOX) if min(image.size) > FINE_PX else image
    side_px = min(image.size)
    return Prepared(image, reduced, side_px, _even(_view(reduced, WHOLE, min(side_px, COARSE_PX))))


def similarity(one: Prepared, other: Prepared) -> float:
    """Similarity from 0 (nothing in common, or too little detail) to 1 (the same image, pixel for pixel).

    Detects re-encoded, resized, brightened, cropped and shifted copies; not mirrored or rotated ones.
    """
    side_px = min(one.side_px, other.side_px, FINE_PX)
    if side_px < MIN_SIDE_PX:
        return 0.0
    coarse_px = min(side_px, COARSE_PX)
    box_one, box_other = WHOLE, WHOLE
    for _ in range(2):
        for step in (_shift_and_scale, _small_step):
            views = _coarse_views(one, other, box_one, box_other, coarse_px)
            box_one, box_other = _boxes(_chain(box_one, box_other, step(*views)))
        coarse = agreement(_view(one.reduced, box_one, coarse_px), _view(other.reduced, box_other, coarse_px))
        if not HOPELESS_BELOW <= coarse < PROMISING_FROM:
            break
    if coarse < PROMISING_FROM:
        return coarse
    for _ in range(3):
        views = [_even(_view(one.image, box_one, side_px)), _even(_view(other.image, box_other, side_px))]
        lines = _small_step(*views)
        box_one, box_other = _boxes(_chain(box_one, box_other, lines))
        if np.abs(lines).max() < 0.1 / side_px:
            break
    return agreement(_view(one.image, box_one, side_px), _view(other.image, box_other, side_px))


def agreement(one_SS: np.ndarray, other_SS: np.ndarray) -> float:
    """1 minus the root mean square over windows of 1 minus SSIM's structure term, on high-passed grey levels.

    All windows have equal weight whatever their contrast, so the bus bars that all cells of a module share cannot
    outweigh the background that they do not share. 0 if there is too little detail to decide.
    Source of the term: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
    """
    one_SS, other_SS = _same_tone(one_SS, other_SS)
    detail_one, detail_other = one_SS - uniform_filter(one_SS, 5), other_SS - uniform_filter(other_SS, 5)
    variances = _window_means((detail_one**2 + detail_other**2) / 2)
    covariances = _window_means(detail_one * detail_other)
    is_informative = variances > CONSTANT_VARIANCE
    if not is_informative.any():
        return 0.0
    if_unrelated = variances[is_informative] / (variances[is_informative] + FORGIVEN_VARIANCE)
    if _root_mean_square(if_unrelated) < 1 - LARGEST_CHANCE_AGREEMENT:
        return 0.0
    lacking = (variances - covariances)[is_informative] / (variances[is_informative] + FORGIVEN_VARIANCE)
    return max(0.0, 1 - _root_mean_square(lacking))


def _window_means(values_SS: np.ndarray) -> np.ndarray:
    """Means of windows of 9 px, every 4 px, without those that extend over the edge."""
    return uniform_filter(values_SS, 9)[6:-6:4, 6:-6:4]


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _same_tone(one_SS: np.ndarray, other_SS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stretches the image of lower contrast to the contrast of the other, and clips it to 0..255."""
    unclipped = (np.minimum(one_SS, other_SS) > 2) & (np.maximum(one_SS, other_SS) < 253)
    if unclipped.mean() < 0.02:
        return one_SS, other_SS
    tones_one, tones_other = one_SS[unclipped], other_SS[unclipped]
    gain = float(np.clip(np.sqrt((tones_other.var() + 1) / (tones_one.var() + 1)), 0.4, 2.5))
    if gain >= 1:
        return np.clip(tones_other.mean() + gain * (one_SS - tones_one.mean()), 0, 255), other_SS
    return one_SS, np.clip(tones_one.mean() + (other_SS - tones_other.mean()) / gain, 0, 255)


def _view(image: Image.Image, box: Box, side_px: int) -> np.ndarray:
    width, height = image.size
    pixels_box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.HAMMING, box=pixels_box), dtype=np.float32)


def _coarse_views(one: Prepared, other: Prepared, box_one: Box, box_other: Box, side_px: int) -> list[np.ndarray]:
    return [
        image.coarse_SS
        if box == WHOLE and len(image.coarse_SS) == side_px
        else _even(_view(image.reduced, box, side_px))
        for image, box in ((one, box_one), (other, box_other))
    ]


def _even(grey_SS: np.ndarray) -> np.ndarray:
    """The image high-passed and divided by the local contrast, so that faint and strong detail guide the alignment."""
    detail = grey_SS - uniform_filter(grey_SS, 7)
    return detail / (np.sqrt(uniform_filter(detail**2, 15).clip(min=0)) + 3)


def _shift_and_scale(one_SS: np.ndarray, other_SS: np.ndarray) -> np.ndarray:
    """Shift and growth that map `one` onto `other`, for y and x, in fractions: [2, 2].

    Nine tiles of one are located in the other by cross-correlation; a robust line is fitted to their displacements.
    """
    side_px = len(one_SS)
    tile_px, reach_px = side_px * 7 // 16, side_px // 8
    window_px = tile_px + 2 * reach_px
    starts = [(y, x) for y in _start_middle_end(side_px - tile_px) for x in _start_middle_end(side_px - tile_px)]
    padded = np.pad(other_SS, reach_px)
    tiles_TPP = np.stack([one_SS[y : y + tile_px, x : x + tile_px] for y, x in starts])
    windows_TQQ = np.stack([padded[y : y + window_px, x : x + window_px] for y, x in starts])
    shape = (scipy.fft.next_fast_len(window_px, real=True),) * 2
    spectra = scipy.fft.rfft2(windows_TQQ, shape) * np.conj(scipy.fft.rfft2(tiles_TPP, shape))
    lags = 2 * reach_px + 1
    correlations = scipy.fft.irfft2(spectra, shape)[:, :lags, :lags].reshape(len(starts), -1)
    best = np.stack(np.unravel_index(correlations.argmax(axis=1), (lags, lags)), axis=1)
    energies = (tiles_TPP**2).sum(axis=(1, 2)) * (windows_TQQ**2).sum(axis=(1, 2))
    peaks = correlations.max(axis=1).clip(min=0) ** 2 / (energies + 1e-6)
    centres = (np.array(starts) + tile_px / 2) / side_px - 0.5
    return _robust_lines(centres, (best - reach_px) / side_px, peaks + 1e-9, tolerance=1.5 / side_px)


def _start_middle_end(last: int) -> tuple[int, int, int]:
    return 0, last // 2, last


def _robust_lines(centres: np.ndarray, displacements: np.ndarray, trust: np.ndarray, tolerance: float) -> np.ndarray:
    weights_T1 = trust[:, None]
    for _ in range(3):
        mean_centre, mean_displacement = (
            (weights_T1 * values).sum(axis=0) / weights_T1.sum() for values in (centres, displacements)
        )
        leverage = centres - mean_centre
        growth = (weights_T1 * leverage * displacements).sum(axis=0) / ((weights_T1 * leverage**2).sum(axis=0) + 1e-12)
        shift = mean_displacement - growth * mean_centre
        misses = np.hypot(*(displacements - shift - growth * centres).T)
        weights_T1 = (trust / (1 + (misses / tolerance) ** 2))[:, None]
    return np.stack([shift, growth], axis=1)


def _small_step(one_SS: np.ndarray, other_SS: np.ndarray) -> np.ndarray:
    """One Gauss-Newton step towards the smallest squared difference, in the form of `_shift_and_scale`.

    Source: Lucas and Kanade 1981, "An iterative image registration technique".
    """
    side_px = len(one_SS)
    mean_SS = (one_SS + other_SS) / 2
    slope_y, slope_x = np.zeros_like(mean_SS), np.zeros_like(mean_SS)
    slope_y[1:-1] = (mean_SS[2:] - mean_SS[:-2]) / 2
    slope_x[:, 1:-1] = (mean_SS[:, 2:] - mean_SS[:, :-2]) / 2
    place = (np.arange(side_px, dtype=np.float32) + 0.5) / side_px - 0.5
    slopes = np.stack([slope_y, slope_y * place[:, None], slope_x, slope_x * place]).reshape(4, -1)
    step = np.linalg.solve(slopes @ slopes.T + 1e-3 * np.eye(4), slopes @ (one_SS - other_SS).ravel())
    return np.clip(step / side_px, -0.03, 0.03).reshape(2, 2)


def _boxes(lines: np.ndarray) -> tuple[Box, Box]:
    """Boxes of the area that the two images share, in fractions of each image."""
    ends_one, ends_other = [], []
    for shift, growth in lines.clip(-LARGEST_DISTORTION, LARGEST_DISTORTION):
        start, stop = ((end - 0.5 - shift) / (1 + growth) + 0.5 for end in (0.0, 1.0))
        start, stop = max(0.0, start), min(1.0, stop)
        ends_one.append((start, stop))
        ends_other.append(tuple(np.clip((1 + growth) * (end - 0.5) + 0.5 + shift, 0, 1) for end in (start, stop)))
    return _as_box(ends_one), _as_box(ends_other)


def _as_box(ends: list[tuple[float, float]]) -> Box:
    (top, bottom), (left, right) = ends
    return float(left), float(top), float(right), float(bottom)


def _chain(box_one: Box, box_other: Box, lines: np.ndarray) -> np.ndarray:
    """Converts lines between boxes to lines between the whole images."""
    chained = np.zeros((2, 2))
    for axis, (low, high) in enumerate([(1, 3), (0, 2)]):
        side_one, side_other = box_one[high] - box_one[low], box_other[high] - box_other[low]
        shift, growth = lines[axis]
        centre = (1 + growth) * ((0.5 - box_one[low]) / side_one - 0.5) + 0.5 + shift
        chained[axis] = box_other[low] + side_other * centre - 0.5, side_other * (1 + growth) / side_one - 1
    return chained
