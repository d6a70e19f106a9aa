"""Labelled images for the benchmarks of the choice of sources and methods, with few labels.

Small ones come from ELPV, Fashion-MNIST, MNIST and UCI digits; those of the size that users have, 160 px, from ELPV and
from emoji by category. `DESIGN` names the tasks that the procedure was designed on; the others were not used for that.

M test samples, N labelled ones, K classes.
"""

import gzip
import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from benchmarks.emoji import read_emoji
from graft.core.errors import DownloadError
from graft.modalities.image.inputs import resize
from infra.fetch_example import fetch_example

LABELS_PER_CLASS = (5, 20, 100)
NUM_TEST = 1000
DEBIAN_PACKAGE = "dataset-fashion-mnist"
FASHION_SHA256 = {
    "images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
SIDE_PX = {"elpv": 48, "fashion": 32, "mnist": 32, "digits": 32}
LARGE_SIDE_PX = 160
NUM_LARGE_TEST = 600
LARGE_TASKS = [("emoji_google", 20), ("elpv_160", 20), ("emoji_twitter", 20)]
"""Pairs of data set and number of labels per class."""
DESIGN = [
    *[(dataset, labels) for dataset in ("elpv", "mnist") for labels in LABELS_PER_CLASS],
    ("elpv_160", 20),
    ("emoji_google", 20),
]
"""Half of the small tasks, two of the three large ones."""


@dataclass(frozen=True)
class ChoiceTask:
    name: str
    images_NCHW: Tensor
    """Images, uint8: first the test images, then the labelled ones."""
    labels_N: Tensor
    test_M: Tensor
    """Indices of the test images."""
    labelled_N: Tensor
    groups_N: np.ndarray
    """Sampling unit of each image."""
    is_lopsided: bool
    """Whether the classes of the test images differ much in size."""
    is_large: bool
    """Whether it is one of `LARGE_TASKS`."""


def choice_task(dataset: str, labels_per_class: int, draw: int, side_px: int | None = None) -> ChoiceTask:
    """Task of one data set, number of labels and draw; the test images of a data set are the same in all its tasks.

    Groups are drawn whole: each is either for testing or for training.
    Args:
        side_px: side of the images; None: see `SIDE_PX` and `LARGE_SIDE_PX`.
    """
    is_large = dataset in LARGE_DATASETS
    side_px = side_px or (LARGE_SIDE_PX if is_large else SIDE_PX[dataset])
    images, labels_N, groups_N = read_any(dataset)
    order = _shuffled(np.arange(len(labels_N)), groups_N, seed=0)
    num_test = NUM_LARGE_TEST if is_large else NUM_TEST
    test = order[:num_test]
    rest = order[num_test:][~np.isin(groups_N[order[num_test:]], groups_N[test])]
    rest = _shuffled(rest, groups_N, seed=1 + draw)
    labelled = np.concatenate([rest[labels_N[rest] == label][:labels_per_class] for label in np.unique(labels_N)])
    used = np.concatenate([test, labelled])
    return ChoiceTask(
        name=f"{dataset}, {labels_per_class} labels per class",
        images_NCHW=torch.cat([_resized(images[index], side_px) for index in used]).round().to(torch.uint8),
        labels_N=torch.from_numpy(labels_N[used]),
        test_M=torch.arange(len(test)),
        labelled_N=torch.arange(len(test), len(used)),
        groups_N=groups_N[used],
        is_lopsided=dataset == "elpv" or is_large,
        is_large=is_large,
    )


def _shuffled(positions: np.ndarray, groups_N: np.ndarray, seed: int) -> np.ndarray:
    """Positions with groups in random order, the members of each next to each other."""
    groups, of_position = np.unique(groups_N[positions], return_inverse=True)
    if len(groups) == len(positions):
        return np.random.default_rng(seed).permutation(positions)
    rank = np.random.default_rng(seed).permutation(len(groups))
    return positions[np.argsort(rank[of_position], kind="stable")]


def _resized(image: np.ndarray, side_px: int) -> Tensor:
    """Image [H, W] or [H, W, 3] as [1, 3, side_px, side_px], float32."""
    pixels = torch.tensor(image, dtype=torch.float32)
    pixels = pixels.permute(2, 0, 1)[None] if pixels.ndim == 3 else pixels.expand(1, 3, -1, -1)
    return resize(pixels, side_px)


def read_any(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images [N, H, W] or [N, H, W, 3], labels [N], 0..K-1, and groups [N]."""
    if name.startswith("emoji_"):
        if name not in _emoji:
            _emoji[name] = read_emoji(name.removeprefix("emoji_"))
        return _emoji[name]
    images_NHW, labels_N = read_dataset(name.removesuffix("_160"))
    return images_NHW, labels_N, np.arange(len(labels_N))


_emoji: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}


def read_dataset(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Grey images [N, H, W] and labels [N], 0..K-1; read once per process."""
    if name not in _read:
        _read[name] = DATASETS[name]()
    return _read[name]


_read: dict[str, tuple[np.ndarray, np.ndarray]] = {}


def _elpv() -> tuple[np.ndarray, np.ndarray]:
    with tempfile.TemporaryDirectory() as baseline:
        folder = Path(baseline) / "elpv"
        fetch_example("elpv", folder)
        labels = pd.read_csv(folder / "labels.csv")
        images = np.stack([np.asarray(Image.open(folder / path).convert("L")) for path in labels["path"]])
    return images, (labels["label"] == "functional").to_numpy().astype(np.int64)


def _mnist() -> tuple[np.ndarray, np.ndarray]:
    with tempfile.TemporaryDirectory() as baseline:
        folder = Path(baseline) / "mnist"
        fetch_example("mnist", folder)
        paths = sorted(folder.glob("*/*.png"))
        images = np.stack([np.asarray(Image.open(path)) for path in paths])
    return images, np.array([int(path.parent.name) for path in paths])


def _digits() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return (digits.images * (255 / 16)).astype(np.uint8), digits.target


def _fashion() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels from the Debian package of Fashion-MNIST, which is downloaded with apt and not installed.

    Raises:
        DownloadError: apt could not download it, or it is not the expected version.
    """
    with tempfile.TemporaryDirectory() as baseline:
        steps = [["apt-get", "download", DEBIAN_PACKAGE], ["sh", "-c", "dpkg-deb --extract *.deb ."]]
        for step in steps:
            done = subprocess.run(step, cwd=baseline, capture_output=True, text=True)
            if done.returncode != 0:
                raise DownloadError(f"Fashion-MNIST comes as a Debian package: {' '.join(step)} said {done.stderr}")
        files = {kind: next(Path(baseline).rglob(f"train-{kind}-idx*.gz")) for kind in FASHION_SHA256}
        content = {kind: gzip.decompress(file.read_bytes()) for kind, file in files.items()}
    for kind, expected in FASHION_SHA256.items():
        if hashlib.sha256(content[kind]).hexdigest() != expected:
            raise DownloadError(f"{files[kind].name} of {DEBIAN_PACKAGE} is not the known one.")
    images = np.frombuffer(content["images"], np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(content["labels"], np.uint8, offset=8).astype(np.int64)
    return images[:5000], labels[:5000]


DATASETS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "elpv": _elpv, "fashion": _fashion, "mnist": _mnist, "digits": _digits,
}  # fmt: skip
LARGE_DATASETS = sorted({dataset for dataset, _ in LARGE_TASKS})
