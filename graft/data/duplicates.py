"""Near duplicates: candidates by neighbouring descriptors, each pair then verified on the pixels.

N samples, D numbers in a descriptor, P pairs, K neighbours, H height, W width, S side of a working square.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.fft
from PIL import Image
from scipy.ndimage import uniform_filter

SIGNATURE_PX = 64
HASH_SIDE = 16
HASH_BYTES, DESCRIPTOR_BYTES = 32, 128
NUM_WHITENED = 64
NUM_FOR_STATISTICS = 50_000
NUM_EXACT = 20_000
"""Up to so many rows the search compares all of them; above, it looks into the nearest cells of a partition."""
CHUNK_ROWS = 20_000

Rows = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Signature:
    perceptual_hash: bytes
    """32 bytes: which of the 16 x 16 lowest DCT coefficients lie above their median."""
    descriptor: bytes
    """128 bytes, uint8: edge directions on a 4 x 4 grid, then the log-polar power spectrum. What is sought with."""


def picture_signature(grey_HW: np.ndarray) -> Signature:
    """Of a grey picture, uint8, upright, of any size from 1 x 1; 256 px on the longer side are plenty."""
    image = Image.fromarray(grey_HW)
    small_SS = np.asarray(image.resize((SIGNATURE_PX, SIGNATURE_PX), Image.Resampling.BOX), dtype=np.float32)
    lowest = scipy.fft.dctn(small_SS)[:HASH_SIDE, :HASH_SIDE]
    perceptual_hash = np.packbits(lowest > np.median(lowest)).tobytes()
    numbers = np.concatenate([255 * _edge_directions(small_SS), 40 * _log_polar_spectrum(small_SS)])
    return Signature(perceptual_hash, numbers.round().clip(0, 255).astype(np.uint8).tobytes())


def candidate_pairs(
    hashes_NB: np.ndarray,
    descriptors_ND: np.ndarray,
    *,
    num_neighbours: int = 5,
    min_cosine: float = 0.6,
) -> np.ndarray:
    """[P, 2], first below second, sorted: each sample with its nearest, at most `num_neighbours` by each of two ways.

    By descriptor, which stands crops and shifts, and by perceptual hash, which stands overexposure. Both are whitened
    by the statistics of the data themselves: what all pictures of a data set share (bus bars, a ruler at the edge) then
    says nothing, and what sets them apart says most. Equal input gives equal pairs, on any number of threads.
    """
    if len(hashes_NB) < 2:
        return np.empty((0, 2), dtype=np.int64)
    numbers = np.union1d(
        _neighbours(hashes_NB, lambda rows: np.unpackbits(rows, axis=1), num_neighbours, min_cosine),
        _neighbours(descriptors_ND, lambda rows: rows, num_neighbours, min_cosine),
    )
    return np.stack([numbers // len(hashes_NB), numbers % len(hashes_NB)], axis=1)


def clusters(num_samples: int, pairs_P2: np.ndarray) -> np.ndarray:
    """[N]: for each sample the lowest number among those that it is joined to, by way of others too; alone: its own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs_P2), dtype=bool), pairs_P2.T), shape=(num_samples, num_samples))
    _, components_N = connected_components(edges, directed=False)
    _, first_N = np.unique(components_N, return_index=True)
    return first_N[components_N]


def _neighbours(rows_ND: np.ndarray, unpack: Rows, num_neighbours: int, min_cosine: float) -> np.ndarray:
    """[P], sorted: pairs as first x N + second."""
    import faiss  # 0.2 s and 40 MB that only this search needs

    num_samples = len(rows_ND)
    whiten = _whitening(rows_ND, unpack)
    index = _index(faiss, rows_ND, whiten)
    chunks = []
    for start in range(0, num_samples, CHUNK_ROWS):
        cosines_NK, found_NK = index.search(whiten(rows_ND[start : start + CHUNK_ROWS]), num_neighbours + 1)
        own_NK = np.broadcast_to(np.arange(start, start + len(found_NK))[:, None], found_NK.shape)
        is_near = (found_NK >= 0) & (found_NK != own_NK) & (cosines_NK >= min_cosine)
        one, other = own_NK[is_near], found_NK[is_near]
        chunks.append(np.unique(np.minimum(one, other) * num_samples + np.maximum(one, other)))
    return np.unique(np.concatenate(chunks))


def _index(faiss: Any, rows_ND: np.ndarray, whiten: Rows) -> Any:
    num_samples = len(rows_ND)
    index = faiss.IndexFlatIP(NUM_WHITENED)
    if num_samples > NUM_EXACT:
        num_cells = int(2 * num_samples**0.5)
        index = faiss.IndexIVFScalarQuantizer(
            index, NUM_WHITENED, num_cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed, index.cp.niter, index.nprobe = 0, 8, 4
        index.train(whiten(rows_ND[:: max(1, num_samples // (40 * num_cells))]))
    for start in range(0, num_samples, CHUNK_ROWS):
        index.add(whiten(rows_ND[start : start + CHUNK_ROWS]))
    return index


def _whitening(rows_ND: np.ndarray, unpack: Rows) -> Rows:
    """Rows to unit vectors along the directions in which the data vary most, each direction given equal say."""
    known = unpack(rows_ND[:: -(-len(rows_ND) // NUM_FOR_STATISTICS)]).astype(np.float32)
    mean = known.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(known - mean, rowvar=False))
    deviations = np.sqrt(variances[::-1][:NUM_WHITENED].clip(min=0))
    caution = max(0.01, 60 / len(known))  # the fewer samples, the less is known of the directions of little variance
    projection = directions[:, ::-1][:, :NUM_WHITENED] / (deviations + caution * deviations[0] + 1e-6)
    projection = projection.astype(np.float32)

    def whiten(rows: np.ndarray) -> np.ndarray:
        projected = (unpack(rows).astype(np.float32) - mean) @ projection
        return projected / (np.linalg.norm(projected, axis=1, keepdims=True) + 1e-9)

    return whiten


def _edge_directions(small_SS: np.ndarray) -> np.ndarray:
    """[64], 0..1: how much of each of four directions, in each cell of a soft 4 x 4 grid; faint edges count too."""
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
    """[64]: log magnitudes on 8 radii x 8 angles, local contrast made even. A shift leaves them as they are."""
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
