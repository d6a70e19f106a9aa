"""The choice of the source. N samples, M held-out samples, D features, K classes, F folds.

1. The catalogue: sources excluded by the licence policy or the limits on size are not tried. The default comes first,
   then sources of the target's domain, then the others by size, in case time does not suffice for all.
2. The probe: frozen features of all samples at the image size of fine-tuning, with a cross-validated linear probe and
   nearest neighbours on them.
3. Halving: short fine-tuning of the sources that the probe does not separate from the best, and of the default
   (graft.selection.trials).
4. The default, unless another source is clearly better (graft.selection.elimination).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.choices import Preference
from graft.core.errors import CatalogueError
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone
from graft.modalities.image.reading import WHITE
from graft.selection.budget import TimeBudget
from graft.selection.distance import NUM_COMPARED, distances
from graft.selection.elimination import ProbeOutcome, TrialOutcome, Winner, halve, name_winner, pick_finalists
from graft.selection.features import cached_features
from graft.selection.prior import gflops_of, in_prior_order, strongest, why_excluded
from graft.selection.scores import h_score, knn_accuracy, linear_probe, logme, transrate
from graft.selection.trials import TrialRounds
from graft.statistics.folds import num_folds_possible
from graft.training.recipe import Recipe

logger = logging.getLogger(__name__)

NUM_TIMED = 32
"""Number of samples that are embedded first, to forecast the time for all."""


@dataclass(frozen=True)
class Target:
    """The samples that the candidates are tried on."""

    sample_ids: list[str]
    """sha256 of each sample's file; features are cached under them."""
    labels_N: np.ndarray
    """Class indices, 0..K-1."""
    load: Callable[[list[int]], Tensor]
    """Maps positions to uint8 images [positions, 3, S, S] at the size of fine-tuning."""
    side_px: int
    groups_N: np.ndarray | None = None
    """Sampling unit of each sample (`graft.data.units.sampling_units`): units are trained or tested on as a whole, and
    are the independent observations of the lead's interval. None: each sample is its own unit."""
    background: str = WHITE
    """Colour behind the transparent parts of the images."""


@dataclass(frozen=True)
class ChoiceSettings:
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
    """Number of steps in the first round; each round doubles it."""
    max_cached_bytes: float
    """Memory for the frozen activations of all finalists."""
    recipe_of: Callable[[int], Recipe]
    """Maps the number of blocks of a backbone to the recipe of the later fine-tuning, which is shortened here."""
    confidence: float
    margin_points: float
    """Least lead of another source over the default, in points of accuracy."""
    dropout: float
    seed: int


@dataclass
class SourceEvaluation:
    """Results of trying one source."""

    source: Source
    gflops: float
    """Operations of the backbone for one image of the target's size, in 1e9."""
    probed: ProbeOutcome
    scores: dict[str, float]
    distance: dict[str, float]
    tflops_spent: float
    trial: TrialOutcome | None = None
    """Outcome of its last round of fine-tuning; None: it was not fine-tuned."""
    dropped: str = ""


@dataclass(frozen=True)
class Choice:
    winner: Winner
    evaluations: list[SourceEvaluation]
    excluded: dict[str, str]
    out_of_time: list[str]
    num_folds: int
    """Number of folds in one repetition of the probe; fewer than in the settings if a class has fewer samples."""

    def ranked(self) -> list[SourceEvaluation]:
        """The winner, its runner-up, then the others by their last round and their accuracy in it."""
        top = [self.winner.name, self.winner.runner_up]

        def place(evaluation: SourceEvaluation) -> tuple[int, int, float]:
            name, trial = evaluation.source.name, evaluation.trial
            worse = -trial.accuracy if trial else -float(evaluation.probed.probe_F.mean())
            return (top.index(name) if name in top else len(top), -trial.num_steps if trial else 0, worse)

        return sorted(self.evaluations, key=place)


def choose_source(
    sources: list[Source], target: Target, settings: ChoiceSettings, budget: TimeBudget, fabric: Fabric
) -> Choice:
    """Chooses a source as described above, within a budget.

    Args:
        sources: pinned (`graft.hub.fetch.pinned`).
    Raises:
        CatalogueError: the policy excludes all.
        HubError: see `graft.hub.weights.load_backbone`.
    """
    gflops = {source.name: gflops_of(source, target.side_px) for source in sources}
    excluded = {source.name: _exclusion(source, gflops[source.name], settings) for source in sources}
    allowed = [source for source in sources if excluded[source.name] is None]
    evaluations: dict[str, SourceEvaluation] = {}
    default = settings.default or strongest(allowed or sources, gflops)
    for source in in_prior_order(allowed, default=default, domain=settings.domain):
        evaluation = _probe(source, target, settings, gflops[source.name], budget, fabric.device)
        if evaluation is None:
            excluded[source.name] = "no time left to try it (select.budget_s)"
        else:
            evaluations[source.name] = evaluation
    if not evaluations:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in excluded.items())
        raise CatalogueError(f"no candidate is left:\n{reasons}\nAdd to select.candidates, or relax the limits.")

    num_folds = num_folds_possible(target.labels_N, settings.num_folds, target.groups_N)
    finalists, dropped = pick_finalists(
        [evaluation.probed for evaluation in evaluations.values()],
        default=default,
        max_finalists=settings.max_finalists,
        num_folds=num_folds,
    )
    remaining, trials, dropped_later = _halve(
        [evaluations[name] for name in finalists], default, target, settings, budget, fabric
    )
    winner = name_winner(
        [evaluation.probed for evaluation in evaluations.values()],
        remaining,
        trials,
        default=default,
        prefer=settings.prefer,
        num_folds=num_folds,
        confidence=settings.confidence,
        margin=settings.margin_points / 100,
    )
    for name, trial in trials.items():
        evaluations[name].trial = trial
    for name, reason in (dropped | dropped_later).items():
        evaluations[name].dropped = reason
    return Choice(
        winner,
        list(evaluations.values()),
        {name: reason for name, reason in excluded.items() if reason is not None},
        budget.refused,
        num_folds,
    )


def _exclusion(source: Source, gflops: float, settings: ChoiceSettings) -> str | None:
    return why_excluded(
        source,
        licences=settings.licences,
        max_parameters=settings.max_parameters,
        max_gflops=settings.max_gflops,
        gflops=gflops,
    )


def _probe(
    source: Source, target: Target, settings: ChoiceSettings, gflops: float, budget: TimeBudget, device: torch.device
) -> SourceEvaluation | None:
    """Evaluation of a source by the probe; None if there is no time for it."""
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
    probed = ProbeOutcome(source.name, gflops, probe_F, by_neighbours)
    logger.info(f"  {source.name}: probe {probe_F.mean():.1%}, nearest neighbour {probed.knn_accuracy:.1%}")
    scores = {
        "logme": logme(features_ND, target.labels_N),
        "h_score": h_score(features_ND, target.labels_N, shrinkage=True),
        "transrate": transrate(features_ND, target.labels_N),
    }
    some = list(range(min(NUM_COMPARED, num_samples)))
    distance = distances(source, backbone, target.load(some), features_ND[some], device)
    return SourceEvaluation(source, gflops, probed, scores, distance, tflops_spent=num_samples * gflops / 1e3)


def _halve(
    finalists: list[SourceEvaluation],
    default: str,
    target: Target,
    settings: ChoiceSettings,
    budget: TimeBudget,
    fabric: Fabric,
) -> tuple[list[str], dict[str, TrialOutcome], dict[str, str]]:
    """Calls `graft.selection.elimination.halve`; with a single finalist nothing is trained."""
    by_name = {evaluation.source.name: evaluation for evaluation in finalists}
    if len(finalists) < 2:
        return list(by_name), {}, {}
    trials = TrialRounds(
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

    def fine_tune(names: list[str], number: int) -> dict[str, TrialOutcome] | None:
        trials.keep_only(names)
        outcomes = {}
        for name in names:
            evaluation = by_name[name]
            num_steps = settings.trial_steps * 2**number
            found = trials.of(evaluation.source, evaluation.gflops, number, num_steps, share_of_memory=1 / len(names))
            if found is None:  # a round counts only if all finalists complete it
                return None
            outcomes[name], tflops = found
            evaluation.tflops_spent += tflops
        return outcomes

    return halve(list(by_name), fine_tune, num_rounds=settings.trial_rounds, default=default)
