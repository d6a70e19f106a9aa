"""The rules of the choice: which sources are dropped, and which one is chosen. F folds, M held-out samples.

1. The probe: a source stays unless the folds separate it from the best one. The best by nearest neighbours and the
   default always stay.
2. Halving: short fine-tuning; after each round the better half, by accuracy on held-out samples, continues with twice
   as many steps, and so does the default: a strong network of a distant domain starts behind and overtakes.
   Source: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification" (arXiv 1502.07943).
3. The winner is the default, unless another source is clearly better; if the cheapest is preferred, the cheapest of
   those that are not significantly worse.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from graft.core.artifacts import Interval
from graft.core.choices import Preference
from graft.core.finite import loss_or_worst
from graft.statistics.intervals import bounded_interval, resampled_interval


@dataclass(frozen=True)
class ProbeOutcome:
    name: str
    gflops: float
    """Inference cost: operations for one image, in 1e9."""
    probe_F: np.ndarray
    """Accuracy in each fold, 0..1; all sources share the folds."""
    knn_accuracy: float


@dataclass(frozen=True)
class TrialOutcome:
    """Outcome of short fine-tuning on a part of the samples, evaluated on the other part: M samples."""

    num_steps: int
    losses_M: np.ndarray
    """Cross-entropy of each sample, in nats. All sources share the samples of a round."""
    is_correct_M: np.ndarray
    """True where the most probable class is the label; bool."""
    groups_M: np.ndarray | None = None
    """Sampling unit of each held-out sample; None: each is its own unit."""
    accuracy_before: float | None = None
    """Accuracy in the previous round, 0..1."""

    @property
    def accuracy(self) -> float:
        return float(self.is_correct_M.mean())

    @property
    def loss(self) -> float:
        """Mean loss; infinite if that of a sample is not finite."""
        return loss_or_worst(float(self.losses_M.mean()))


@dataclass(frozen=True)
class Winner:
    name: str
    runner_up: str | None
    lead: Interval | None
    """Lead of the better of the two in accuracy, -1..1."""
    is_separated: bool
    """True: the interval of the lead is above zero (over the default: above a margin), and the lead did not shrink from
    one round to the next."""
    reason: str


def pick_finalists(
    probed: list[ProbeOutcome], *, default: str, max_finalists: int, num_folds: int
) -> tuple[list[str], dict[str, str]]:
    """Names of the finalists in the order of their probes, and name -> reason of the dropped sources.

    Args:
        max_finalists: at least 3, including those that always stay.
        num_folds: folds in one repetition of the cross-validation.
    """
    ranked = sorted(probed, key=lambda candidate: -candidate.probe_F.mean())
    best = ranked[0]
    nearest = max(probed, key=lambda candidate: candidate.knn_accuracy)
    protected = {best.name, nearest.name, default}
    dropped = {}
    for candidate in ranked[1:]:
        lead = resampled_interval(best.probe_F - candidate.probe_F, num_folds=num_folds)
        if lead.low > 0 and candidate.name not in protected:
            dropped[candidate.name] = f"by the probe: {best.name} is {in_points(lead)} better"
    stayed = [candidate.name for candidate in ranked if candidate.name not in dropped]
    for name in reversed(stayed):
        if len(stayed) > max_finalists and name not in protected:
            stayed.remove(name)
            dropped[name] = f"by the probe: not among the best {max_finalists} (select.max_finalists)"
    return stayed, dropped


def halve(
    finalists: list[str],
    fine_tune: Callable[[list[str], int], dict[str, TrialOutcome] | None],
    *,
    num_rounds: int,
    default: str,
) -> tuple[list[str], dict[str, TrialOutcome], dict[str, str]]:
    """Fine-tunes all for a few steps; the better half, at least two, and the default go on to a longer round.

    Args:
        fine_tune: maps names and round, from 0, to one trial per name; None if there is no time for all of them, which
            ends the halving.
    Returns:
        Sources of the last round, best first; name -> outcome of its last round; name -> why it was dropped.
    """
    remaining = list(finalists)
    last: dict[str, TrialOutcome] = {}
    dropped: dict[str, str] = {}
    for number in range(num_rounds):
        trials = fine_tune(remaining, number)
        if trials is None:
            break
        for name, trial in trials.items():
            last[name] = replace(trial, accuracy_before=last[name].accuracy if name in last else None)
        remaining.sort(key=lambda name: (-last[name].accuracy, last[name].loss))
        if number + 1 < num_rounds:
            for name in remaining[max(2, math.ceil(len(remaining) / 2)) :]:
                if name == default:
                    continue
                dropped[name] = f"in round {number + 1} of fine-tuning: in the worse half"
            remaining = [name for name in remaining if name not in dropped]
    return remaining, last, dropped


def name_winner(
    probed: list[ProbeOutcome],
    remaining: list[str],
    trials: dict[str, TrialOutcome],
    *,
    default: str,
    prefer: Preference,
    num_folds: int,
    confidence: float,
    margin: float,
) -> Winner:
    """The default, unless the best is clearly better; the best if the default is not a candidate.

    The best is the first of the last round of fine-tuning, or of the probe if fewer than two were fine-tuned. Sources
    are ranked by accuracy on held-out samples: losses depend more on the confidence of a network after a few steps. The
    runner-up is the source that the winner was compared with.

    Args:
        prefer: "cheapest": of that winner and those not significantly worse, the one with the fewest operations.
        confidence: confidence of the interval of a lead, which is significant if its interval is above zero.
        margin: accuracy (0..1) above which the interval of a lead over the default must be: a small lead after a few
            steps shows which source trains faster, not which one ends higher.
    """
    if len(probed) < 2:
        return Winner(probed[0].name, None, None, True, "the only candidate")
    comparison = _last_comparison(probed, remaining, trials, num_folds=num_folds, confidence=confidence)
    best, second = comparison.ranked[:2]
    has_default = default in comparison.ranked
    rival = default if has_default and best != default else second
    to_surpass = margin if rival == default else 0.0
    if comparison.is_sure(best, rival, by=to_surpass):
        winner = Winner(best, rival, comparison.lead(best, rival), True, comparison.in_words(best, rival))
    elif has_default:
        other = rival if best == default else best
        why = f"{default} is the default, and only a clear lead overrules it"
        winner = _not_separated(comparison, default, other, why, by=to_surpass)
    else:
        winner = _not_separated(comparison, best, rival, f"{best} leads")
    return winner if prefer == "accuracy" else _cheapest(comparison, winner, probed)


def _cheapest(comparison: "_Comparison", winner: Winner, probed: list[ProbeOutcome]) -> Winner:
    gflops = {candidate.name: candidate.gflops for candidate in probed}
    cheaper = [name for name in comparison.ranked if gflops[name] < gflops[winner.name]]
    for name in sorted(cheaper, key=lambda name: gflops[name]):
        better, worse = sorted((winner.name, name), key=comparison.ranked.index)
        if not comparison.is_sure(better, worse):
            why = f"{name} is the cheaper one ({gflops[name]:.2f} and {gflops[winner.name]:.2f} GFLOPs)"
            return _not_separated(comparison, name, winner.name, why)
    return winner


def _not_separated(comparison: "_Comparison", name: str, runner_up: str, why: str, *, by: float = 0.0) -> Winner:
    better, worse = sorted((name, runner_up), key=comparison.ranked.index)
    lead = comparison.lead(better, worse)
    shrank = " (less than in the previous round)" if lead.low > by else ""
    margin = f" by more than {100 * by:g} points" if by else ""
    reason = f"{comparison.in_words(better, worse)}{shrank}, which does not separate them{margin}; {why}"
    return Winner(name, runner_up, lead, False, reason)


@dataclass(frozen=True)
class _Comparison:
    """The last comparison of the sources: a round of fine-tuning, or otherwise the probe."""

    ranked: list[str]
    lead: Callable[[str, str], Interval]
    """Lead of the first name over the second."""
    lead_in_words: str
    """Sentence with placeholders for the first name, its lead and the second name."""
    is_shrinking: Callable[[str, str], bool] = lambda _better, _worse: False
    """True if the first leads by less than in the previous round: it may just train faster."""

    def in_words(self, better: str, worse: str) -> str:
        return self.lead_in_words.format(better, in_points(self.lead(better, worse)), worse)

    def is_sure(self, better: str, worse: str, *, by: float = 0.0) -> bool:
        return self.lead(better, worse).low > by and not self.is_shrinking(better, worse)


def _last_comparison(
    probed: list[ProbeOutcome],
    remaining: list[str],
    trials: dict[str, TrialOutcome],
    *,
    num_folds: int,
    confidence: float,
) -> _Comparison:
    if len(remaining) > 1 and all(name in trials for name in remaining):
        num_steps = trials[remaining[0]].num_steps

        def lead_of_trials(better: str, worse: str) -> Interval:
            differences_M = trials[better].is_correct_M.astype(float) - trials[worse].is_correct_M
            return bounded_interval(differences_M, trials[better].groups_M, bounds=(-1, 1), confidence=confidence)

        def is_shrinking(better: str, worse: str) -> bool:
            before = trials[better].accuracy_before, trials[worse].accuracy_before
            if before[0] is None or before[1] is None:
                return False
            return trials[better].accuracy - trials[worse].accuracy < before[0] - before[1] - 1e-9

        return _Comparison(
            remaining,
            lead_of_trials,
            f"after {num_steps} steps of fine-tuning, {{}} is {{}} better than {{}}",
            is_shrinking,
        )
    probes = {candidate.name: candidate.probe_F for candidate in probed}

    def lead_of_probes(better: str, worse: str) -> Interval:
        return resampled_interval(probes[better] - probes[worse], num_folds=num_folds, confidence=confidence)

    return _Comparison(
        sorted(probes, key=lambda name: -float(probes[name].mean())),
        lead_of_probes,
        "by the probe, {} is {} better than {}",
    )


def in_points(lead: Interval) -> str:
    return f"{100 * lead.mean:+.1f} points [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]"
