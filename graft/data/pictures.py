"""Decoded pictures in memory: verified against the manifest, RGB, upright, resized once."""

import functools
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import PIL
import torch
from torch import Tensor

from graft.core.files import fingerprint
from graft.core.paths import user_cache
from graft.core.progress import track
from graft.core.results_versions import results_version
from graft.data.manifest import verified_bytes
from graft.data.seals import key_name
from graft.data.store import LAYOUT, SHARD_SIZE, store_rows, stored_rows
from graft.modalities.image.inputs import resize
from graft.modalities.image.reading import WHITE, decode


def background_of(manifest: pd.DataFrame) -> str:
    """Colour that transparent parts of any of its images are laid on; white where none has any."""
    return max(manifest["background"], default="") or WHITE


def load_pictures(
    data_dir: Path,
    samples: pd.DataFrame,
    side_px: int,
    dtype: torch.dtype = torch.uint8,
    *,
    background: str = WHITE,
) -> Tensor:
    """Pictures of all `samples`, in their order: [N, 3, side_px, side_px], 0..255.

    uint8 rounds what resizing leaves, and takes a quarter of the memory; float32 is exactly what the served model sees.
    Every file is held against the manifest. What was decoded to uint8 is kept in the user's cache, so that the next
    stage and the next run decode new pictures only.

    Args:
        samples: columns path and sample_id.
        background: see `background_of`.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    assert set(samples.get("background", [])) <= {"", background}, "these samples were ingested on another background"
    pictures = torch.empty((len(samples), 3, side_px, side_px), dtype=dtype)
    sample_ids = list(samples["sample_id"])
    paths = list(samples["path"])
    is_kept = dtype == torch.uint8
    folder = picture_folder(side_px, background)
    known = _fill_from_store(folder, sample_ids, pictures) if is_kept else set()

    def load_one(position: int) -> None:
        content = verified_bytes(data_dir, paths[position], sample_ids[position])
        if sample_ids[position] not in known:
            raw_HWC = torch.from_numpy(decode(content, background).copy())
            resized = resize(raw_HWC.permute(2, 0, 1)[None], side_px)[0]
            pictures[position] = resized.round().clamp(0, 255) if is_kept else resized

    def load_all(readers: ThreadPoolExecutor) -> Iterator[None]:
        for start in range(0, len(samples), SHARD_SIZE):
            positions = range(start, min(start + SHARD_SIZE, len(samples)))
            yield from readers.map(load_one, positions)
            decoded = [position for position in positions if sample_ids[position] not in known]
            if is_kept and decoded:
                store_rows(folder, [sample_ids[position] for position in decoded], pictures[decoded])

    with warnings.catch_warnings(), ThreadPoolExecutor() as readers:
        warnings.simplefilter("ignore")  # Pillow's, of metadata: ingest has noted what matters
        for _ in track(load_all(readers), f"loading pictures at {side_px} px", total=len(samples)):
            pass
    return pictures


def picture_folder(side_px: int, background: str) -> Path:
    """Decoded pictures in the user's cache: another folder for another side, or another way from file to pixels."""
    return user_cache() / "pictures" / f"{side_px}px-{fingerprint(decoding(background), LAYOUT, key_name())}"


def decoding(background: str) -> str:
    """Fingerprint of the way from a file to the pixels of `load_pictures`: ingest's results, Pillow, the background."""
    return fingerprint(results_version("ingest"), PIL.__version__, background)


def _fill_from_store(folder: Path, sample_ids: list[str], pictures_NCHW: Tensor) -> set[str]:
    """The ids of those that were found."""
    positions = defaultdict(list)
    for position, sample_id in enumerate(sample_ids):
        positions[sample_id].append(position)
    found: set[str] = set()
    for ids, rows in stored_rows(folder, sample_ids):
        for sample_id, row in zip(ids, rows, strict=True):
            pictures_NCHW[positions[sample_id]] = row
        found.update(ids)
    return found


def verify_pictures(data_dir: Path, samples: pd.DataFrame) -> None:
    """Reads and hashes the files of all `samples`, undecoded: for a stage that takes their features from the cache.

    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    with ThreadPoolExecutor() as readers:
        verifying = readers.map(functools.partial(verified_bytes, data_dir), samples["path"], samples["sample_id"])
        for _ in track(verifying, "verifying pictures", total=len(samples)):
            pass
