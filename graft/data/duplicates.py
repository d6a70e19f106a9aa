"""Candidates for near duplicates, found by nearest signatures, and clusters of confirmed ones.

N samples, B bytes of a hash, D numbers in a descriptor, P pairs, K neighbours.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

NUM_WHITENED = 64
NUM_FOR_STATISTICS = 50_000
NUM_EXACT = 20_000
"""Number of rows up to which the search is exact; above, it searches the nearest cells of a partition."""
CHUNK_ROWS = 20_000

Rows = Callable[[np.ndarray], np.ndarray]


def candidate_pairs(
    hashes_NB: np.ndarray,
    descriptors_ND: np.ndarray,
    *,
    num_neighbours: int = 5,
    min_cosine: float = 0.6,
) -> np.ndarray:
    """Pairs [P, 2] of positions, first below second, sorted: each sample with its nearest by hash and by descriptor.

    The two tolerate different changes (in images: overexposure, and crops and shifts). Both are whitened by the
    statistics of the data: features that all samples of a data set share (bus bars, a ruler at the edge) then carry no
    weight, and those that distinguish them carry most. Equal input gives equal pairs on any number of threads.

    Args:
        hashes_NB, descriptors_ND: uint8, see `graft.modalities.base.Reading`; a hash is compared bit by bit.
        num_neighbours: maximum number of neighbours per sample, by each of the two.
    """
    if len(hashes_NB) < 2:
        return np.empty((0, 2), dtype=np.int64)
    numbers = np.union1d(
        _neighbours(hashes_NB, lambda rows: np.unpackbits(rows, axis=1), num_neighbours, min_cosine),
        _neighbours(descriptors_ND, lambda rows: rows, num_neighbours, min_cosine),
    )
    return np.stack([numbers // len(hashes_NB), numbers % len(hashes_NB)], axis=1)


def clusters(num_samples: int, pairs_P2: np.ndarray) -> np.ndarray:
    """Cluster of each sample [N]: the lowest position among the samples connected to it, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs_P2), dtype=bool), pairs_P2.T), shape=(num_samples, num_samples))
    _, components_N = connected_components(edges, directed=False)
    _, first_N = np.unique(components_N, return_index=True)
    return first_N[components_N]


def _neighbours(rows_ND: np.ndarray, unpack: Rows, num_neighbours: int, min_cosine: float) -> np.ndarray:
    """Pairs [P] as first x N + second, sorted."""
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
    """Map of rows to unit vectors along the directions in which the data vary most, with equal weight per direction."""
    known = unpack(rows_ND[:: -(-len(rows_ND) // NUM_FOR_STATISTICS)]).astype(np.float32)
    mean = known.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(known - mean, rowvar=False))
    deviations = np.sqrt(variances[::-1][:NUM_WHITENED].clip(min=0))
    caution = max(0.01, 60 / len(known))  # with few samples, directions of little variance are poorly estimated
    projection = directions[:, ::-1][:, :NUM_WHITENED] / (deviations + caution * deviations[0] + 1e-6)
    projection = projection.astype(np.float32)

    def whiten(rows: np.ndarray) -> np.ndarray:
        projected = (unpack(rows).astype(np.float32) - mean) @ projection
        return projected / (np.linalg.norm(projected, axis=1, keepdims=True) + 1e-9)

    return whiten
