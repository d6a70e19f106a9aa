"""Small pictures, and manifests of them, for the unit tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from graft.data.build import BuiltManifest, IngestRules, build_manifest
from graft.data.manifest import read_manifest
from graft.data.profile import Profile
from graft.data.stratify import SplitMemory
from graft.modalities.base import Modality
from graft.modalities.image.modality import ImageModality

RULES = {
    "split_key": "graft",
    "test_fraction": 0.25,
    "validation_fraction": 0.1,
    "accept": [],
    "near_duplicate_similarity": 0.96,
}
IMAGES = ImageModality()
NOTHING_GIVEN = SplitMemory(by_key={})


def noise(seed: int, size: tuple[int, int] = (20, 16)) -> np.ndarray:
    """Random RGB pixels [height, width, 3]: no two seeds look alike."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def save_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed)).save(path)


def folder_of_classes(data_dir: Path, num_per_class: int = 60) -> Path:
    """cat/ and dog/, full of noise."""
    for number, name in enumerate(["cat", "dog"]):
        for index in range(num_per_class):
            save_noise(data_dir / name / f"{index}.png", seed=1000 * number + index)
    return data_dir


def build(data_dir: Path, **changes: Any) -> pd.DataFrame:
    """The manifest of `data_dir`, written to artifacts/ beside it."""
    build_profile(data_dir, **changes)
    return read_manifest(data_dir.parent / "artifacts" / "manifest.parquet")


def build_profile(data_dir: Path, **changes: Any) -> Profile:
    return build_all(data_dir, **changes).profile


def build_all(
    data_dir: Path, memory: SplitMemory = NOTHING_GIVEN, modality: Modality = IMAGES, **changes: Any
) -> BuiltManifest:
    out_dir = data_dir.parent / "artifacts"
    out_dir.mkdir(exist_ok=True)
    rules = IngestRules(**{**RULES, **changes})
    return build_manifest(data_dir, out_dir, data_dir.parent / "index.sqlite", modality, rules, memory)
