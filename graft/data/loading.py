"""Decoded samples in memory: verified against the manifest, and resized once."""

import functools
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from torch import Tensor

from graft.core.files import fingerprint
from graft.core.paths import user_cache
from graft.core.progress import track
from graft.data.manifest import verified_bytes
from graft.data.reading import decoding
from graft.data.seals import key_name
from graft.data.store import LAYOUT, SHARD_SIZE, store_rows, stored_rows
from graft.modalities.base import Modality


def load_samples(
    data_dir: Path, samples: pd.DataFrame, modality: Modality, size: int, *, exact: bool = False
) -> Tensor:
    """Rows of all `samples`, in their order: [N, ...], see `graft.modalities.base.Inputs`.

    Every file is checked against the manifest. Rows that are not exact are kept in the user's cache, so that the next
    stage and the next run decode new samples only.

    Args:
        samples: columns path and sample_id.
        modality: with the settings that the samples were ingested with.
        size, exact: see `Inputs`.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    inputs = modality.inputs(size)
    rows = inputs.empty(len(samples), exact=exact)
    sample_ids = list(samples["sample_id"])
    paths = list(samples["path"])
    folder = row_folder(modality, size)
    known = set() if exact else _fill_from_store(folder, sample_ids, rows)

    def load_one(position: int) -> None:
        content = verified_bytes(data_dir, paths[position], sample_ids[position])
        if sample_ids[position] not in known:
            rows[position] = inputs.row(content, exact=exact)

    def load_all(readers: ThreadPoolExecutor) -> Iterator[None]:
        for start in range(0, len(samples), SHARD_SIZE):
            positions = range(start, min(start + SHARD_SIZE, len(samples)))
            yield from readers.map(load_one, positions)
            decoded = [position for position in positions if sample_ids[position] not in known]
            if decoded and not exact:
                store_rows(folder, [sample_ids[position] for position in decoded], rows[decoded])

    with warnings.catch_warnings(), ThreadPoolExecutor() as readers:
        warnings.simplefilter("ignore")  # of decoders about metadata: ingest has noted those that matter
        for _ in track(load_all(readers), f"loading {modality.noun}s at {inputs.size_label}", total=len(samples)):
            pass
    return rows


def row_folder(modality: Modality, size: int) -> Path:
    """Folder of decoded samples in the user's cache, which differs for another size or another way of decoding."""
    size_label = modality.inputs(size).size_label
    return user_cache() / "rows" / f"{size_label}-{fingerprint(decoding(modality), LAYOUT, key_name())}"


def _fill_from_store(folder: Path, sample_ids: list[str], rows: Tensor) -> set[str]:
    """Fills the rows that the store holds, and returns their sample ids."""
    positions = defaultdict(list)
    for position, sample_id in enumerate(sample_ids):
        positions[sample_id].append(position)
    found: set[str] = set()
    for ids, kept in stored_rows(folder, sample_ids):
        for sample_id, row in zip(ids, kept, strict=True):
            rows[positions[sample_id]] = row
        found.update(ids)
    return found


def verify_samples(data_dir: Path, samples: pd.DataFrame) -> None:
    """Reads and hashes the files of all `samples` without decoding, for a stage whose features come from the cache.

    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    with ThreadPoolExecutor() as readers:
        verifying = readers.map(functools.partial(verified_bytes, data_dir), samples["path"], samples["sample_id"])
        for _ in track(verifying, "verifying samples", total=len(samples)):
            pass
