"""How the source is chosen. N samples, M held-out samples, D features, K classes, F folds.

1. The catalogue: what the licence policy or the limits on size rule out is not looked at. The default comes first, then
   sources of the target's domain, then the others by size, for the case that time does not suffice for all.
2. The probe: frozen features of all samples at the size that will be fine-tuned, a cross-validated linear probe and
   nearest neighbours on them.
3. Halving: short real fine-tuning of those that the probe does not separate from the best, and of the default
   (graft.selection.trials).
4. The default, unless another is clearly better (graft.selection.elimination).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.errors import CatalogueError
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone
from graft.modalities.image.reading import WHITE
from graft.selection.budget import Budget
from graft.selection.distance import NUM_COMPARED, distances
from graft.selection.elimination import Preference, Probed, Tried, Winner, halve, name_winner, pick_finalists
from graft.selection.features import cached_features
from graft.selection.prior import gflops_of, in_prior_order, strongest, why_excluded
from graft.selection.scores import h_score, knn_accuracy, linear_probe, logme, transrate
from graft.selection.trials import Trials
from graft.statistics.folds import num_folds_possible
from graft.training.recipe import Recipe

NUM_TIMED = 32
"""Samples that are embedded first, to know how long all will take."""


@dataclass(frozen=True)
class Target:
    """The samples that the candidates are tried on."""

    sample_ids: list[str]
    """sha256 of each sample's file; features are cached under them."""
    labels_N: np.ndarray
    """0..K-1."""
    load: Callable[[list[int]], Tensor]
    """Positions to uint8 pictures [positions, 3, S, S] at the size that will be fine-tuned."""
    side_px: int
    groups_N: np.ndarray | None = None
    """Sampling unit of each (`graft.data.units.sampling_units`): units are learnt from or tested on as a whole, and are
    what the lead's interval counts. None: each sample is its own."""
    background: str = WHITE
    """Colour that transparent parts of the pictures were laid on."""


@dataclass(frozen=True)
class Settings:
    default: str | None
    prefer: Preference
    domain: str | None
    licences: list[str]
    max_parameters: float | None
    max_gflops: float | None
    num_folds: int
    num_repeats: int
    regularisation_strength: float
    max_finalists: int
    trial_rounds: int
    trial_steps: int
    """Of the first round; each round doubles them."""
    max_cached_bytes: float
    """Memory for what the frozen blocks of all finalists make of the pictures."""
    recipe_of: Callable[[int], Recipe]
    """Number of blocks of a backbone to the recipe of the fine-tuning to come, which is cut short."""
    confidence: float
    margin_points: float
    """Above which the lead of another over the default must lie, in points of accuracy."""
    dropout: float
    seed: int


@dataclass
class Looked:
    """What looking at one source gave."""

    source: Source
    gflops: float
    """Of the backbone, one picture at the target's size."""
    probed: Probed
    scores: dict[str, float]
    distance: dict[str, float]
    tflops_spent: float
    trial: Tried | None = None
    """The last that it went through."""
    dropped: str = ""


@dataclass(frozen=True)
class Choice:
    winner: Winner
    looked_at: list[Looked]
    excluded: dict[str, str]
    out_of_time: list[str]
    num_folds: int
    """Of one repetition of the probe; fewer than the settings' where a class has fewer samples."""

    def ranked(self) -> list[Looked]:
        """The winner, its runner-up, then the others by how far they got and how well they did there."""
        top = [self.winner.name, self.winner.runner_up]

        def place(looked: Looked) -> tuple[int, int, float]:
            name, trial = looked.source.name, looked.trial
            worse = -trial.accuracy if trial else -float(looked.probed.probe_F.mean())
            return (top.index(name) if name in top else len(top), -trial.num_steps if trial else 0, worse)

        return sorted(self.looked_at, key=place)


def choose_source(sources: list[Source], target: Target, settings: Settings, budget: Budget, fabric: Fabric) -> Choice:
    """The story above, within a budget.

    Args:
        sources: pinned (`graft.hub.fetch.pinned`).
    Raises:
        CatalogueError: the policy leaves none.
        HubError: see `graft.hub.weights.load_backbone`.
    """
    gflops = {source.name: gflops_of(source, target.side_px) for source in sources}
    excluded = {source.name: _exclusion(source, gflops[source.name], settings) for source in sources}
    allowed = [source for source in sources if excluded[source.name] is None]
    looked_at: dict[str, Looked] = {}
    default = settings.default or strongest(allowed or sources, gflops)
    for source in in_prior_order(allowed, default=default, domain=settings.domain):
        looked = _probe(source, target, settings, gflops[source.name], budget, fabric.device)
        if looked is None:
            excluded[source.name] = "no time was left to look at it (select.budget_s)"
        else:
            looked_at[source.name] = looked
    if not looked_at:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in excluded.items())
        raise CatalogueError(f"no candidate is left:\n{reasons}\nAdd to select.candidates, or loosen the limits.")

    num_folds = num_folds_possible(target.labels_N, settings.num_folds, target.groups_N)
    finalists, dropped = pick_finalists(
        [looked.probed for looked in looked_at.values()],
        default=default,
        max_finalists=settings.max_finalists,
        num_folds=num_folds,
    )
    standing, trials, dropped_later = _halve(
        [looked_at[name] for name in finalists], default, target, settings, budget, fabric
    )
    winner = name_winner(
        [looked.probed for looked in looked_at.values()],
        standing,
        trials,
        default=default,
        prefer=settings.prefer,
        num_folds=num_folds,
        confidence=settings.confidence,
        margin=settings.margin_points / 100,
    )
    for name, trial in trials.items():
        looked_at[name].trial = trial
    for name, reason in (dropped | dropped_later).items():
        looked_at[name].dropped = reason
    return Choice(
        winner,
        list(looked_at.values()),
        {name: reason for name, reason in excluded.items() if reason is not None},
        budget.refused,
        num_folds,
    )


def _exclusion(source: Source, gflops: float, settings: Settings) -> str | None:
    return why_excluded(
        source,
        licences=settings.licences,
        max_parameters=settings.max_parameters,
        max_gflops=settings.max_gflops,
        gflops=gflops,
    )


def _probe(
    source: Source, target: Target, settings: Settings, gflops: float, budget: Budget, device: torch.device
) -> Looked | None:
    """None where there is no time for it."""
    backbone = load_backbone(source)
    num_samples = len(target.sample_ids)
    num_timed = min(NUM_TIMED, num_samples)
    for num_new, num_embedded in [(num_timed, num_timed), (num_samples - num_timed, num_samples)]:
        if not budget.allows(f"embedding with {source.name}", num_new, f"{source.name}: the probe"):
            return None
        with budget.timing(f"embedding with {source.name}", num_new):
            features_ND = cached_features(
                source, backbone, target.side_px, target.sample_ids[:num_embedded], target.load, device,
                target.background,
            ).numpy()  # fmt: skip
    probe_F = linear_probe(
        features_ND,
        target.labels_N,
        num_folds=settings.num_folds,
        num_repeats=settings.num_repeats,
        regularisation_strength=settings.regularisation_strength,
        seed=settings.seed,
        groups_N=target.groups_N,
    )
    by_neighbours = knn_accuracy(features_ND, target.labels_N, groups_N=target.groups_N)
    probed = Probed(source.name, gflops, probe_F, by_neighbours)
    print(f"  {source.name}: probe {probe_F.mean():.1%}, nearest neighbour {probed.knn_accuracy:.1%}", flush=True)
    scores = {
        "logme": logme(features_ND, target.labels_N),
        "h_score": h_score(features_ND, target.labels_N, shrinkage=True),
        "transrate": transrate(features_ND, target.labels_N),
    }
    some = list(range(min(NUM_COMPARED, num_samples)))
    distance = distances(source, backbone, target.load(some), features_ND[some], device)
    return Looked(source, gflops, probed, scores, distance, tflops_spent=num_samples * gflops / 1e3)


def _halve(
    finalists: list[Looked], default: str, target: Target, settings: Settings, budget: Budget, fabric: Fabric
) -> tuple[list[str], dict[str, Tried], dict[str, str]]:
    """See `graft.selection.elimination.halve`; where one finalist is left, nothing is trained."""
    by_name = {looked.source.name: looked for looked in finalists}
    if len(finalists) < 2:
        return list(by_name), {}, {}
    trials = Trials(
        target.load(list(range(len(target.labels_N)))),
        target.labels_N,
        target.groups_N,
        budget=budget,
        fabric=fabric,
        recipe_of=settings.recipe_of,
        dropout=settings.dropout,
        seed=settings.seed,
        max_cached_bytes=settings.max_cached_bytes,
    )

    def fine_tune(names: list[str], number: int) -> dict[str, Tried] | None:
        trials.keep_only(names)
        tried = {}
        for name in names:
            looked = by_name[name]
            num_steps = settings.trial_steps * 2**number
            found = trials.of(looked.source, looked.gflops, number, num_steps, share_of_memory=1 / len(names))
            if found is None:  # a round counts only if all went through it
                return None
            tried[name], tflops = found
            looked.tflops_spent += tflops
        return tried

    return halve(list(by_name), fine_tune, num_rounds=settings.trial_rounds, default=default)
