"""Contestants of benchmarks/finetune_speed.py. N training samples, B batch, K classes."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.finetune_task import NUM_CLASSES, Clock, Contestant, Task
from graft.core.device import forward_precision
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import VIEWS, Normalise
from graft.networks.backbones import Classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.methods import phases_of
from graft.training.observer import StepCounter
from graft.training.processes import join_processes
from graft.training.recipe import Recipe, num_batches, spans_of

CPU = torch.device("cpu")
MAX_POINTS = 5
"""Largest number of tests of Graft's models; its epochs on cached features take less time than a test."""


def fresh_classifier(task: Task, dropout: float) -> Classifier:
    torch.manual_seed(task.split)
    return Classifier(load_backbone(task.source), NUM_CLASSES, dropout)


def graft(
    task: Task,
    clock: Clock,
    *,
    phases: dict[str, Any],
    views: tuple[str, ...],
    others: dict[str, Any],
    is_cached: bool,
) -> None:
    """Trains with Graft's loop.

    Args:
        phases: arguments of `graft.training.methods.phases_of`.
        others: fields of `graft.training.recipe.Recipe`, in addition to the defaults of params.yaml.
        is_cached: cached activations, as in Graft; otherwise frozen blocks compute in every step, in float32, as in a
            plain loop.
    """
    classifier = fresh_classifier(task, dropout=0.2).to(memory_format=torch.channels_last)
    blocks = copy.deepcopy(classifier.backbone.blocks)
    settings = Recipe(
        phases_of(num_blocks=len(blocks), **phases),
        batch_size=16,
        weight_decay=0.01,
        label_smoothing=0.1,
        warmup_fraction=0.2,
        **others,
    )
    epochs = dict(_tested_epochs(settings, len(task.train_labels_N)))
    num_steps = 0

    def test_now_and_again(num_done: int) -> None:
        nonlocal num_steps
        num_steps += num_done
        if num_steps in epochs:
            clock.test(classifier, epochs[num_steps], is_end=False)

    clock.start()
    normalise = Normalise.of(task.source.preprocessing)
    inputs = ImageInputs(task.train_images_NCHW, views, normalise, CPU)
    precision, memory_bytes = (forward_precision(CPU), math.inf) if is_cached else (torch.float32, 0.0)
    activations = FrozenActivations(inputs, blocks, precision, CacheBudget(memory_bytes), "frozen blocks")
    data = LabelledSamples(activations, task.train_labels_N, task.train_weights_N)
    runtime = Runtime(join_processes(CPU), observers=[StepCounter(test_now_and_again)])
    curve = train(classifier, ArmData(data), settings, seed=task.split, runtime=runtime)
    clock.test(classifier, len(curve), is_end=True)


def _tested_epochs(recipe: Recipe, num_samples: int) -> Iterator[tuple[int, int]]:
    """Steps at the end of tested epochs, and these epochs; except the last, after which weights are averaged."""
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
        return self._change(task.train_images_NCHW[index]), task.train_labels_N[index], task.train_weights_N[index]


def plain(task: Task, clock: Clock, *, num_epochs: int, batch_size: int, learning_rate: float) -> None:
    """Trains all weights as torchvision's references/classification/train.py: SGD, a cosine schedule, no cache."""
    model = fresh_classifier(task, dropout=0.2)
    clock.start()
    loader = DataLoader(Cells(task), batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9, weight_decay=1e-4)
    schedule = CosineAnnealingLR(optimizer, T_max=num_epochs * len(loader))
    for epoch in range(1, num_epochs + 1):
        model.train()
        for images_BCHW, labels_B, weights_B in loader:
            losses_B = F.cross_entropy(model(images_BCHW), labels_B, reduction="none")
            loss = (losses_B * weights_B).sum() / weights_B.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        clock.test(model, epoch, is_end=epoch == num_epochs)


def fastai(task: Task, clock: Clock, **settings: Any) -> None:
    from benchmarks.finetune_fastai import fine_tune

    fine_tune(task, clock, **settings)


@dataclass(frozen=True)
class Entry:
    run: Contestant
    side_px: int | None = None
    """Side of the images; None: the default."""
    keeps_memory: bool = True
    """Whether freed memory is kept, as in every stage of the pipeline (graft.core.memory)."""
    max_splits: int | None = None


def _graft(
    method: str,
    *,
    num_epochs: float,
    views: tuple[str, ...],
    probe_epochs: float = 0,
    num_trained_blocks: int = 6,
    side_px: int | None = None,
    others: dict[str, Any] | None = None,
    is_cached: bool = True,
) -> Entry:
    phases = {
        "method": method,
        "num_trained_blocks": num_trained_blocks,
        "num_epochs": num_epochs,
        "probe_epochs": probe_epochs,
        "backbone_learning_rate": 1e-3,
        "head_learning_rate": 5e-3,
    }
    return Entry(partial(graft, phases=phases, views=views, others=others or {}, is_cached=is_cached), side_px)


NOT_KEPT = ", memory not kept"
IDENTITY, TWO, FOUR = ("identity",), ("identity", "rotate_180"), tuple(VIEWS)
FASTAI = partial(fastai, num_epochs=4, batch_size=32, num_workers=0, base_learning_rate=2e-3)
PLAIN = partial(plain, num_epochs=5, batch_size=32, learning_rate=0.01)

CONTESTANTS: dict[str, Entry] = {
    "graft linear_probe": _graft("linear_probe", num_epochs=20, views=FOUR),
    "graft partial, short": _graft("partial", num_epochs=3, views=IDENTITY, num_trained_blocks=5),
    "graft partial": _graft("partial", num_epochs=6, views=TWO),
    "graft lp_ft": _graft("lp_ft", probe_epochs=4, num_epochs=6, views=FOUR),
    "graft partial, 224 px": _graft("partial", num_epochs=8, views=FOUR, num_trained_blocks=8, side_px=224),
    "plain": Entry(PLAIN, max_splits=2),
    "fastai": Entry(FASTAI),
}
FURTHER: dict[str, Entry] = {
    "fastai" + NOT_KEPT: Entry(FASTAI, keeps_memory=False, max_splits=1),
    "plain" + NOT_KEPT: Entry(PLAIN, keeps_memory=False, max_splits=1),
    "graft partial, not cached": _graft("partial", num_epochs=6, views=TWO, is_cached=False),
    "graft partial, statistics of the source": _graft(
        "partial", num_epochs=6, views=TWO, others={"batchnorm_statistics": "source"}
    ),
    "graft full": _graft("full", num_epochs=5, views=FOUR),
    "graft partial, 224 px, average": _graft(
        "partial", num_epochs=8, views=FOUR, num_trained_blocks=8, side_px=224, others={"ema_decay": 0.99}
    ),
    "graft partial, 224 px, mixup": _graft(
        "partial", num_epochs=8, views=FOUR, num_trained_blocks=8, side_px=224, others={"mixing": "mixup"}
    ),
    "graft partial, 224 px, long": _graft("partial", num_epochs=12, views=FOUR, num_trained_blocks=8, side_px=224),
    "graft partial, 288 px": _graft("partial", num_epochs=8, views=FOUR, side_px=288),
}
"""Contestants that run only if they are named."""
