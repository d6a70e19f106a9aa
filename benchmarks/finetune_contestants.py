"""The contestants of benchmarks/finetune_speed.py. N training samples, B batch, K classes."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.finetune_task import NUM_CLASSES, Clock, Contestant, Task
from graft.data.transforms import Normalise
from graft.device import forward_precision
from graft.hub.backbones import Classifier
from graft.hub.weights import load_backbone
from graft.memory import keep_freed_memory
from graft.training.inputs import PictureInputs, PretrainedLayers, Room
from graft.training.loop import Labelled, train
from graft.training.methods import phases_of
from graft.training.processes import join_processes
from graft.training.recipe import Recipe, num_batches, spans_of

CPU = torch.device("cpu")
MAX_POINTS = 8
"""That Graft's models are tested at; its epochs on cached features take less time than a test."""
FLIPS = ("identity", "flip_horizontal", "flip_vertical", "rotate_180")


def fresh_classifier(task: Task, dropout: float) -> Classifier:
    torch.manual_seed(task.split)
    return Classifier(load_backbone(task.source), NUM_CLASSES, dropout)


@dataclass(frozen=True)
class GraftRecipe:
    """As the sections `arms` and `finetune` of params.yaml have it."""

    phases: dict[str, Any]
    views: tuple[str, ...]
    batch_size: int = 32
    label_smoothing: float = 0.05
    others: dict[str, Any] = field(default_factory=dict)
    """Of `graft.training.recipe.Recipe`."""


def graft(task: Task, clock: Clock, *, recipe: GraftRecipe) -> None:
    """With the memory kept as every stage of the pipeline keeps it."""
    keep_freed_memory()
    classifier = fresh_classifier(task, dropout=0.2).to(memory_format=torch.channels_last)
    blocks = copy.deepcopy(classifier.backbone.blocks)
    settings = Recipe(
        phases_of(num_blocks=len(blocks), **recipe.phases),
        batch_size=recipe.batch_size,
        weight_decay=0.01,
        label_smoothing=recipe.label_smoothing,
        warmup_fraction=0.25,
        **recipe.others,
    )
    epochs = dict(_tested_epochs(settings, len(task.train_labels_N)))
    num_steps = 0

    def test_now_and_again(num_done: int) -> None:
        nonlocal num_steps
        num_steps += num_done
        if num_steps in epochs:
            clock.test(classifier, epochs[num_steps])

    clock.start()
    normalise = Normalise.of(task.source.preprocessing)
    pictures = PictureInputs(task.train_pictures_NCHW, recipe.views, normalise, CPU)
    layers = PretrainedLayers(pictures, blocks, forward_precision(CPU), Room(), "frozen blocks")
    data = Labelled(layers, task.train_labels_N, task.train_weights_N)
    curve = train(
        classifier, data, None, settings, seed=task.split, fabric=join_processes(CPU), on_step=test_now_and_again
    )
    clock.test(classifier, len(curve))


def _tested_epochs(recipe: Recipe, num_samples: int) -> Iterator[tuple[int, int]]:
    """Steps and the epochs that end with them; not the last, since averages of weights come after it."""
    per_epoch = num_batches(num_samples, recipe.batch_size)
    ends = [
        span.first_step + min(number * per_epoch, span.num_steps)
        for span in spans_of(recipe, num_samples)
        for number in range(1, -(-span.num_steps // per_epoch) + 1)
    ]
    stride = -(-len(ends) // MAX_POINTS)
    return ((ends[epoch - 1], epoch) for epoch in range(len(ends) - stride, 0, -stride))


class Cells(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    def __init__(self, task: Task) -> None:
        self._task = task
        expected = task.source.preprocessing
        self._change = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(expected.mean, expected.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._task.train_labels_N)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        task = self._task
        return self._change(task.train_pictures_NCHW[index]), task.train_labels_N[index], task.train_weights_N[index]


def plain(task: Task, clock: Clock, *, num_epochs: int, batch_size: int, learning_rate: float) -> None:
    """All weights, in the way of torchvision's references/classification/train.py: SGD, a cosine, nothing cached."""
    model = fresh_classifier(task, dropout=0.2)
    clock.start()
    loader = DataLoader(Cells(task), batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9, weight_decay=1e-4)
    schedule = CosineAnnealingLR(optimizer, T_max=num_epochs * len(loader))
    for epoch in range(1, num_epochs + 1):
        model.train()
        for pictures_BCHW, labels_B, weights_B in loader:
            losses_B = F.cross_entropy(model(pictures_BCHW), labels_B, reduction="none")
            loss = (losses_B * weights_B).sum() / weights_B.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        clock.test(model, epoch)


def fastai(task: Task, clock: Clock, **settings: Any) -> None:
    from benchmarks.finetune_fastai import fine_tune

    fine_tune(task, clock, **settings)


def _phases(method: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "num_trained_blocks": 5, "num_epochs": 10, "probe_epochs": 0,
        "backbone_learning_rate": 3e-4, "head_learning_rate": 3e-3,
    }  # fmt: skip
    return {"method": method, **usual, **changes}


@dataclass(frozen=True)
class Entry:
    run: Contestant
    side_px: int | None = None
    """None: the side that all take but those that say otherwise."""


def _graft(
    phases: dict[str, Any], *, views: tuple[str, ...] = FLIPS, side_px: int | None = None, **others: Any
) -> Entry:
    return Entry(partial(graft, recipe=GraftRecipe(phases, views, **others)), side_px)


FASTAI = {"num_epochs": 5, "batch_size": 32, "num_workers": 0, "base_learning_rate": 2e-3}

CONTESTANTS: dict[str, Entry] = {
    "graft linear_probe": _graft(_phases("linear_probe", num_epochs=40)),
    "graft partial": _graft(_phases("partial")),
    "graft lp_ft": _graft(_phases("lp_ft", probe_epochs=10)),
    "graft partial, 224 px": _graft(_phases("partial", num_trained_blocks=8), side_px=224),
    "plain": Entry(partial(plain, num_epochs=6, batch_size=32, learning_rate=0.01)),
    "fastai": Entry(partial(fastai, **FASTAI)),
}
