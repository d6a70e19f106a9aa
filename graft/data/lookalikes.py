"""Near duplicates among all samples of an index: candidates by signature, then each pair verified on its content."""

import sqlite3
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.core.progress import progress_bar
from graft.data.duplicates import candidate_pairs
from graft.data.manifest import verified_bytes
from graft.data.reading import decoding
from graft.data.workers import Workers
from graft.modalities.base import DESCRIPTOR_BYTES, HASH_BYTES, Modality

PAIRS_PER_TASK = 25
PAIRS_PER_BATCH = 500
CACHED_SAMPLES = 1_000
"""Number of prepared samples that a process keeps; about 50 MB for images."""
LISTED_MARGIN = 0.06
"""Margin below the threshold within which pairs are listed, but not treated as duplicates."""
MAX_LISTED_PAIRS = 100

Pair = tuple[str, str]
"""Two sample_ids, the lower first."""
Named = tuple[str, str]
"""A sample_id and its path."""


class LookAlike(NamedTuple):
    a: str
    b: str
    similarity: float
    """Similarity, 0..1; see `Modality.similarity`."""
    is_near_duplicate: bool


def find_lookalikes(
    index: sqlite3.Connection, data_dir: Path, modality: Modality, min_similarity: float, workers: Workers
) -> list[LookAlike]:
    """All pairs of different content that are near duplicates, and the most similar of those that are not.

    Pairs that an earlier run compared are not compared again.

    Raises:
        ContentChangedError: a file changed since it was read.
    """
    ids_N, hashes_NB, descriptors_ND = _contents(index)
    candidates_P2 = candidate_pairs(hashes_NB, descriptors_ND)

    verifier = decoding(modality)
    found: list[LookAlike] = []
    alike: list[LookAlike] = []
    with progress_bar("comparing look-alikes", len(candidates_P2)) as advance:
        for start in range(0, len(candidates_P2), PAIRS_PER_BATCH):
            batch = candidates_P2[start : start + PAIRS_PER_BATCH]
            pairs = [(ids_N[a].decode(), ids_N[b].decode()) for a, b in batch]
            values = _remembered(index, verifier, pairs)
            unknown = [pair for pair in pairs if pair not in values]
            paths = _paths(index, unknown)
            jobs = [((a, paths[a]), (b, paths[b])) for a, b in unknown]
            tasks = [jobs[first : first + PAIRS_PER_TASK] for first in range(0, len(jobs), PAIRS_PER_TASK)]
            for compared in workers.map(partial(_compare, data_dir, modality), tasks):
                values |= compared
            with index:
                rows_to_keep = [(a, b, verifier, values[a, b]) for a, b in unknown]
                index.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?)", rows_to_keep)
            judged = [LookAlike(a, b, values[a, b], values[a, b] >= min_similarity) for a, b in pairs]
            found += [pair for pair in judged if pair.is_near_duplicate]
            alike += [pair for pair in judged if min_similarity - LISTED_MARGIN <= pair.similarity < min_similarity]
            alike = sorted(alike, key=lambda pair: (-pair.similarity, pair.a, pair.b))[:MAX_LISTED_PAIRS]
            advance(len(pairs))
    return found + alike


def _compare(data_dir: Path, modality: Modality, jobs: list[tuple[Named, Named]]) -> dict[Pair, float]:
    prepared = partial(_prepared, data_dir, modality)
    return {(a[0], b[0]): modality.similarity(prepared(*a), prepared(*b)) for a, b in jobs}


@lru_cache(maxsize=CACHED_SAMPLES)
def _prepared(data_dir: Path, modality: Modality, sample_id: str, path: str) -> Any:
    return modality.prepare(verified_bytes(data_dir, path, sample_id))


def _contents(index: sqlite3.Connection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sample_ids [N], perceptual hashes [N, 32] and descriptors [N, 128] of all different contents, by sample_id."""
    num_contents = index.execute("SELECT count(DISTINCT sample_id) FROM files WHERE status = 'ok'").fetchone()[0]
    ids_N = np.empty(num_contents, dtype="S64")
    hashes_NB = np.empty((num_contents, HASH_BYTES), dtype=np.uint8)
    descriptors_ND = np.empty((num_contents, DESCRIPTOR_BYTES), dtype=np.uint8)
    query = "SELECT sample_id, perceptual_hash, descriptor FROM files WHERE status = 'ok' GROUP BY sample_id ORDER BY 1"
    for position, (sample_id, perceptual_hash, descriptor) in enumerate(index.execute(query)):
        ids_N[position] = sample_id
        hashes_NB[position] = np.frombuffer(bytes.fromhex(perceptual_hash), dtype=np.uint8)
        descriptors_ND[position] = np.frombuffer(descriptor, dtype=np.uint8)
    return ids_N, hashes_NB, descriptors_ND


def _remembered(index: sqlite3.Connection, verifier: str, pairs: list[Pair]) -> dict[Pair, float]:
    known: dict[Pair, float] = {}
    for pair in pairs:
        query = "SELECT similarity FROM pairs WHERE a = ? AND b = ? AND verifier = ?"
        for (value,) in index.execute(query, (*pair, verifier)):
            known[pair] = value
    return known


def _paths(index: sqlite3.Connection, pairs: list[Pair]) -> dict[str, str]:
    ids = sorted({sample_id for pair in pairs for sample_id in pair})
    marks = ", ".join("?" * len(ids))
    return dict(index.execute(f"SELECT sample_id, min(path) FROM files WHERE sample_id IN ({marks}) GROUP BY 1", ids))
