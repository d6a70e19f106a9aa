"""Rounds of short fine-tuning with cross-fitting: N samples, B of them trained on, M held out, K classes."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.finite import clipped_logs, losses_or_worst, predicted_classes
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone
from graft.networks.backbones import Backbone, backbone_shape
from graft.selection.budget import TimeBudget
from graft.selection.elimination import TrialOutcome
from graft.selection.short_tuning import ShortFineTuning
from graft.statistics.folds import Fold, grouped_folds, num_folds_possible
from graft.statistics.units import unit_numbers
from graft.training.activations import CacheBudget
from graft.training.flops import training_flops
from graft.training.recipe import Recipe, shortened

logger = logging.getLogger(__name__)

NUM_FOLDS = 3
MIN_HELD_OUT = 300
"""Number of held-out predictions per round, which determines the number of folds; with fewer samples, all folds. One
fold of 1,000 samples suffices; of 60 samples every one is held out once."""
MIN_UNITS_HELD_OUT = 30


class TrialRounds:
    """The samples that sources are tried on, the folds of each round, and the cached frozen activations."""

    def __init__(
        self,
        images_NCHW: Tensor,
        labels_N: np.ndarray,
        groups_N: np.ndarray | None,
        *,
        budget: TimeBudget,
        fabric: Fabric,
        recipe_of: Callable[[int], Recipe],
        dropout: float,
        seed: int,
        max_cached_bytes: float,
    ) -> None:
        """
        Args:
            images_NCHW: uint8, at the size of fine-tuning.
            labels_N: 0..K-1.
            groups_N: sampling units; None: each sample is its own unit.
            recipe_of: see `graft.selection.choice.ChoiceSettings`.
            max_cached_bytes: memory for frozen activations of all sources together.
        """
        self._images_NCHW = images_NCHW
        self._labels_N = labels_N
        self._units_N = unit_numbers(groups_N, len(labels_N))
        self._budget = budget
        self._fabric = fabric
        self._recipe_of = recipe_of
        self._dropout = dropout
        self._seed = seed
        self._max_cached_bytes = max_cached_bytes
        self._tuners: dict[str, ShortFineTuning] = {}

    def keep_only(self, names: list[str]) -> None:
        """Frees the memory of the sources that are not named."""
        self._tuners = {name: tuner for name, tuner in self._tuners.items() if name in names}

    def of(
        self, source: Source, gflops: float, number: int, num_steps: int, *, share_of_memory: float
    ) -> tuple[TrialOutcome, float] | None:
        """Outcome of the source's trial in round `number` (from 0), and its cost in TFLOPs; None: no time for it.

        Args:
            gflops: operations of the backbone for one image, in 1e9.
            num_steps: steps of fine-tuning in each fold.
        """
        folds = held_out_folds(self._labels_N, self._units_N, seed=self._seed + number)
        backbone = backbone_shape(source.architecture)
        recipes = [shortened(self._recipe_of(len(backbone.blocks)), num_steps, len(train_B)) for train_B, _ in folds]
        is_new = source.name not in self._tuners
        tflops = self._tflops(backbone, gflops, folds, recipes, is_new=is_new)
        work = f"fine-tuning {source.name}"
        if not self._budget.allows(work, tflops, f"{source.name}: round {number + 1} of fine-tuning"):
            return None
        with self._budget.timing(work, tflops):
            if source.name not in self._tuners:
                self._tuners[source.name] = self._tuner(source, share_of_memory)
            outcome = self._outcome(self._tuners[source.name], folds, recipes, num_steps, self._seed + number)
        logger.info(f"  {source.name}: accuracy {outcome.accuracy:.1%} after {num_steps} steps of fine-tuning")
        return outcome, tflops

    def _tflops(
        self, backbone: Backbone, gflops: float, folds: list[Fold], recipes: list[Recipe], *, is_new: bool
    ) -> float:
        """Cost: frozen blocks of all samples once; trained blocks and a pass over held-out samples per fold."""

        def training(place: int, num_views: int) -> float:
            return training_flops(
                backbone, self._images_NCHW.shape[-1], recipes[place].phases,
                num_views=num_views, num_train=len(folds[place][0]),
            )  # fmt: skip

        frozen = (training(0, 1) - training(0, 0)) / len(folds[0][0])  # of one image
        num_held_out = sum(len(held_out_M) for _, held_out_M in folds)
        flops = is_new * frozen * len(self._labels_N) + (1e9 * gflops - frozen) * num_held_out
        return (flops + sum(training(place, 0) for place in range(len(folds)))) / 1e12

    def _tuner(self, source: Source, share_of_memory: float) -> ShortFineTuning:
        return ShortFineTuning(
            source, load_backbone(source), self._images_NCHW, torch.tensor(self._labels_N), dropout=self._dropout,
            fabric=self._fabric, budget=CacheBudget(share_of_memory * self._max_cached_bytes),
        )  # fmt: skip

    def _outcome(
        self, tuner: ShortFineTuning, folds: list[Fold], recipes: list[Recipe], num_steps: int, seed: int
    ) -> TrialOutcome:
        losses, is_correct = [], []
        for (train_B, held_out_M), recipe in zip(folds, recipes, strict=True):
            model = tuner.fine_tuned(torch.from_numpy(train_B), recipe, seed=seed)
            probabilities_MK = tuner.probabilities(model, torch.from_numpy(held_out_M)).double().numpy()
            labels_M = self._labels_N[held_out_M]
            of_label_M = probabilities_MK[np.arange(len(labels_M)), labels_M]
            losses.append(losses_or_worst(-clipped_logs(of_label_M)))
            has_diverged = not np.isfinite(probabilities_MK).all()  # then none of its predictions counts as correct
            is_correct.append((predicted_classes(probabilities_MK) == labels_M) & (not has_diverged))
        held_out_M = np.concatenate([held_out for _, held_out in folds])
        return TrialOutcome(num_steps, np.concatenate(losses), np.concatenate(is_correct), self._units_N[held_out_M])


def held_out_folds(labels_N: np.ndarray, units_N: np.ndarray, *, seed: int) -> list[Fold]:
    """Folds, as many of NUM_FOLDS as are needed to hold out MIN_HELD_OUT samples of MIN_UNITS_HELD_OUT units.

    Units stay whole; there are fewer folds if a class has fewer units.
    """
    num_folds = num_folds_possible(labels_N, NUM_FOLDS, units_N)
    chosen: list[Fold] = []
    held_out = np.array([], dtype=int)
    for train_B, held_out_M in grouped_folds(labels_N, units_N, num_folds=num_folds, seed=seed):
        if len(held_out) >= MIN_HELD_OUT and len(np.unique(units_N[held_out])) >= MIN_UNITS_HELD_OUT:
            break
        if len(train_B) > 1:  # BatchNorm cannot train on a single sample
            chosen.append((train_B, held_out_M))
            held_out = np.append(held_out, held_out_M)
    return chosen
