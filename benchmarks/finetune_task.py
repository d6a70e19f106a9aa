"""Task of every contestant of benchmarks/finetune_speed.py: cells, a clock, and the same test.

N training samples, M test samples, V views, K classes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor, nn

from graft.core.device import forward_precision
from graft.core.files import sha256_of_file
from graft.core.tensors import load_tensors, save_tensors
from graft.data.images import load_images
from graft.hub.catalogue import Source, load_catalogue
from graft.modalities.image.inputs import VIEWS, Normalise
from graft.selection.folding import folded
from infra.fetch_example import fetch_example

PROJECT = Path(__file__).parents[1]
SOURCE = "efficientnet_lite0"
TEST_FRACTION = 0.25
NUM_CLASSES = 2
TEST_BATCH_SIZE = 8


@dataclass(frozen=True)
class Task:
    source: Source
    split: int
    """Number of the random split, also used as seed."""
    train_images_NCHW: Tensor
    """uint8, square."""
    train_labels_N: Tensor
    train_weights_N: Tensor
    test_images_MCHW: Tensor
    test_labels_M: Tensor


@dataclass(frozen=True)
class Point:
    epoch: int
    seconds: float
    """Seconds of training until then."""
    accuracy: float
    """Test accuracy, 0..1, softmax averaged over the views."""
    accuracy_one_view: float


Contestant = Callable[[Task, "Clock"], None]
"""Function that trains on the task's training cells, starts the clock, and has it test the model from time to time."""


class Clock:
    """Clock of training time. It stops while a model is tested."""

    def __init__(self, task: Task) -> None:
        self.points: list[Point] = []
        self._task = task
        self._spent_s = 0.0
        self._started_s = 0.0

    def start(self) -> None:
        self._started_s = time.perf_counter()

    def test(self, model: nn.Module, epoch: int, *, is_end: bool) -> None:
        """Tests the model.

        Args:
            model: module from normalised images to logits [B, K]; it is not changed.
            is_end: whether training has ended: the final model is tested in float32, earlier ones in bfloat16 if that
                is faster.
        """
        self._spent_s += time.perf_counter() - self._started_s
        precision = torch.float32 if is_end else forward_precision(torch.device("cpu"))
        self.points.append(Point(epoch, self._spent_s, *accuracies(model, self._task, precision)))
        self.start()


@torch.no_grad()
def accuracies(model: nn.Module, task: Task, precision: torch.dtype) -> tuple[float, float]:
    """Test accuracies, 0..1: averaged over all exact flips, and on the cells as they are."""
    normalise = Normalise.of(task.source.preprocessing)
    network = folded(model, normalise(task.test_images_MCHW[:2]))
    network = network.to(precision).to(memory_format=torch.channels_last)

    def probabilities_BK(images_BCHW: Tensor) -> Tensor:
        inputs = normalise(images_BCHW).to(precision, memory_format=torch.channels_last)
        return network(inputs).float().softmax(dim=1)

    batches = task.test_images_MCHW.split(TEST_BATCH_SIZE)
    by_view_VMK = torch.stack(
        [torch.cat([probabilities_BK(view(batch)) for batch in batches]) for view in VIEWS.values()]
    )
    identity = list(VIEWS).index("identity")
    return _accuracy(by_view_VMK.mean(dim=0), task), _accuracy(by_view_VMK[identity], task)


def _accuracy(probabilities_MK: Tensor, task: Task) -> float:
    return (probabilities_MK.argmax(dim=1) == task.test_labels_M).double().mean().item()


def decode_cells(folder: Path, sides_px: set[int], num_cells: int | None) -> None:
    """Decodes the example once for all contestants.

    Args:
        num_cells: number of random cells; None: all.
    """
    fetch_example("elpv", folder / "elpv")
    samples = pd.read_csv(folder / "elpv" / "labels.csv")
    samples = samples.sample(len(samples) if num_cells is None else num_cells, random_state=0)
    samples["sample_id"] = [sha256_of_file(folder / "elpv" / path) for path in samples["path"]]
    for side_px in sides_px:
        tensors = {
            "images": load_images(folder / "elpv", samples, side_px),
            "labels": torch.tensor((samples["label"] == "defective").to_numpy(dtype="int64")),
            "weights": torch.tensor(samples["weight"].to_numpy(dtype="float32")),
        }
        save_tensors(_cells_path(folder, side_px), tensors)


def read_task(folder: Path, side_px: int, split: int) -> Task:
    """Reads the task from the folder that `decode_cells` filled."""
    cells = load_tensors(_cells_path(folder, side_px))
    splitter = StratifiedShuffleSplit(1, test_size=TEST_FRACTION, random_state=split)
    train_N, test_M = map(torch.from_numpy, next(splitter.split(cells["labels"], cells["labels"])))
    return Task(
        source=load_catalogue(PROJECT / "sources.yaml")[SOURCE],
        split=split,
        train_images_NCHW=cells["images"][train_N],
        train_labels_N=cells["labels"][train_N],
        train_weights_N=cells["weights"][train_N],
        test_images_MCHW=cells["images"][test_M],
        test_labels_M=cells["labels"][test_M],
    )


def _cells_path(folder: Path, side_px: int) -> Path:
    return folder / f"cells_{side_px}.safetensors"
