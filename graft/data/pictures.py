"""Decoded pictures in memory: verified against the manifest, RGB, upright, resized once."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from graft.data.manifest import verified_bytes
from graft.data.reading import decode
from graft.data.transforms import resize
from graft.progress import track


def load_pictures(data_dir: Path, samples: pd.DataFrame, side_px: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Pictures of all `samples`, in their order: [N, 3, side_px, side_px], 0..255.

    uint8 rounds what resizing leaves, and takes a quarter of the memory; float32 is exactly what the served model sees.

    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    pictures = torch.empty((len(samples), 3, side_px, side_px), dtype=dtype)

    def load_one(position: int, path: str, sample_id: str) -> None:
        raw_HWC = torch.from_numpy(decode(verified_bytes(data_dir, path, sample_id)).copy())
        resized = resize(raw_HWC.permute(2, 0, 1)[None], side_px)[0]
        pictures[position] = resized if dtype.is_floating_point else resized.round().clamp(0, 255)

    with ThreadPoolExecutor() as readers:
        loading = readers.map(load_one, range(len(samples)), samples["path"], samples["sample_id"])
        for _ in track(loading, f"loading pictures at {side_px} px", total=len(samples)):
            pass
    return pictures


def verify_pictures(data_dir: Path, samples: pd.DataFrame) -> None:
    """Reads and hashes the files of all `samples`, undecoded: for a stage that takes their features from the cache.

    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    with ThreadPoolExecutor() as readers:
        verifying = readers.map(functools.partial(verified_bytes, data_dir), samples["path"], samples["sample_id"])
        for _ in track(verifying, "verifying pictures", total=len(samples)):
            pass
