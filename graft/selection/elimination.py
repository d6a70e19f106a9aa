"""Who stays in the contest, and who wins it: plain rules. F folds, M held-out samples.

1. The probe: a source stays unless the folds separate it from the best one. The best by nearest neighbours stays too,
   and so does one strong default, whatever the probe says.
2. Halving: short real fine-tuning; after each round the better half, by the accuracy on held-out samples, goes on to
   twice as many steps, and the default with it: a strong network from afar starts behind and overtakes.
   Source: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification" (arXiv 1502.07943).
3. The winner is the default, unless another one is clearly better; where the cheapest is preferred, the cheapest of
   those that are not surely worse.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from graft.core.artifacts import Interval
from graft.core.finite import loss_or_worst
from graft.statistics.intervals import bounded_interval, resampled_interval

Preference = Literal["accuracy", "cheapest"]
"""What decides between sources that the evidence does not separate: the default, or the fewest operations in use."""


@dataclass(frozen=True)
class Probed:
    name: str
    gflops: float
    """What it costs in use: one picture."""
    probe_F: np.ndarray
    """Accuracy in each fold, 0..1; the folds of all are the same."""
    knn_accuracy: float


@dataclass(frozen=True)
class Tried:
    """Short fine-tuning on a part of the samples, looked at on the other part: M samples."""

    num_steps: int
    losses_M: np.ndarray
    """Minus the log of the right class's probability, in nats. The samples of a round are the same for all sources."""
    is_right_M: np.ndarray
    """bool: whether the most probable class is the right one."""
    groups_M: np.ndarray | None = None
    """Sampling unit of each held-out sample; None: each is its own."""
    accuracy_before: float | None = None
    """In the round before, 0..1."""

    @property
    def accuracy(self) -> float:
        return float(self.is_right_M.mean())

    @property
    def loss(self) -> float:
        """Infinite where a sample's loss is not finite."""
        return loss_or_worst(float(self.losses_M.mean()))


@dataclass(frozen=True)
class Winner:
    name: str
    runner_up: str | None
    lead: Interval | None
    """Lead of the better of the two in accuracy, -1..1."""
    is_separated: bool
    """Whether the lead is sure: its interval lies above zero (over the default: above a margin), and it did not shrink
    from one round to the next."""
    reason: str


def pick_finalists(
    probed: list[Probed], *, default: str, max_finalists: int, num_folds: int
) -> tuple[list[str], dict[str, str]]:
    """Names in the order of their probes, and why the others are out (name -> reason).

    Args:
        max_finalists: at least 3; those that stay whatever the probe says count among them.
        num_folds: of one repetition of the cross-validation.
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
    fine_tune: Callable[[list[str], int], dict[str, Tried] | None],
    *,
    num_rounds: int,
    default: str,
) -> tuple[list[str], dict[str, Tried], dict[str, str]]:
    """All are fine-tuned for a few steps; the better half, two at least, and the default go on to a longer round.

    Args:
        fine_tune: names and round, from 0, to a trial of each; None where there is no time for all of them, which ends
            the contest.
    Returns:
        Who went through the last round, best first; of each the trial of its last round; name -> why it was dropped.
    """
    standing = list(finalists)
    last: dict[str, Tried] = {}
    dropped: dict[str, str] = {}
    for number in range(num_rounds):
        trials = fine_tune(standing, number)
        if trials is None:
            break
        for name, trial in trials.items():
            last[name] = replace(trial, accuracy_before=last[name].accuracy if name in last else None)
        standing.sort(key=lambda name: (-last[name].accuracy, last[name].loss))
        if number + 1 < num_rounds:
            for name in standing[max(2, math.ceil(len(standing) / 2)) :]:
                if name == default:
                    continue
                dropped[name] = f"in round {number + 1} of fine-tuning: in the worse half"
            standing = [name for name in standing if name not in dropped]
    return standing, last, dropped


def name_winner(
    probed: list[Probed],
    standing: list[str],
    trials: dict[str, Tried],
    *,
    default: str,
    prefer: Preference,
    num_folds: int,
    confidence: float,
    margin: float,
) -> Winner:
    """The default, unless the best is clearly better; the best where the default is no candidate.

    The best is the first of the last round of fine-tuning, or by the probe where fewer than two were tried. Better is
    who has more held-out samples right: losses say more of how confident a network is after a few steps. The runner-up
    is whom the winner was held against.

    Args:
        prefer: "cheapest": of that winner and those that are not surely worse, the one with the fewest operations.
        confidence: of the interval of a lead, which must lie above zero to be sure.
        margin: 0..1 of accuracy, above which the interval of a lead over the default must lie: a small lead after a few
            steps says who learns faster, not who ends higher.
    """
    if len(probed) < 2:
        return Winner(probed[0].name, None, None, True, "the only candidate")
    contest = _contest(probed, standing, trials, num_folds=num_folds, confidence=confidence)
    best, second = contest.ranked[:2]
    has_default = default in contest.ranked
    rival = default if has_default and best != default else second
    to_surpass = margin if rival == default else 0.0
    if contest.is_sure(best, rival, by=to_surpass):
        winner = Winner(best, rival, contest.lead(best, rival), True, contest.in_words(best, rival))
    elif has_default:
        other = rival if best == default else best
        why = f"{default} is the default, which only a clear lead overrules"
        winner = _not_separated(contest, default, other, why, by=to_surpass)
    else:
        winner = _not_separated(contest, best, rival, f"{best} leads")
    return winner if prefer == "accuracy" else _cheapest(contest, winner, probed)


def _cheapest(contest: "_Contest", winner: Winner, probed: list[Probed]) -> Winner:
    gflops = {candidate.name: candidate.gflops for candidate in probed}
    cheaper = [name for name in contest.ranked if gflops[name] < gflops[winner.name]]
    for name in sorted(cheaper, key=lambda name: gflops[name]):
        better, worse = sorted((winner.name, name), key=contest.ranked.index)
        if not contest.is_sure(better, worse):
            why = f"{name} is the cheaper one ({gflops[name]:.2f} against {gflops[winner.name]:.2f} GFLOPs)"
            return _not_separated(contest, name, winner.name, why)
    return winner


def _not_separated(contest: "_Contest", name: str, runner_up: str, why: str, *, by: float = 0.0) -> Winner:
    better, worse = sorted((name, runner_up), key=contest.ranked.index)
    lead = contest.lead(better, worse)
    shrank = " (less than a round before)" if lead.low > by else ""
    margin = f" by more than {100 * by:g} points" if by else ""
    reason = f"{contest.in_words(better, worse)}{shrank}, which does not separate them{margin}; {why}"
    return Winner(name, runner_up, lead, False, reason)


@dataclass(frozen=True)
class _Contest:
    """The last comparison that there is: a round of fine-tuning, or else the probe."""

    ranked: list[str]
    lead: Callable[[str, str], Interval]
    """Of the first name over the second."""
    lead_in_words: str
    """With places for the first name, its lead, and the second."""
    is_shrinking: Callable[[str, str], bool] = lambda _better, _worse: False
    """Whether the first leads by less than a round before: it may be only the one that learns faster."""

    def in_words(self, better: str, worse: str) -> str:
        return self.lead_in_words.format(better, in_points(self.lead(better, worse)), worse)

    def is_sure(self, better: str, worse: str, *, by: float = 0.0) -> bool:
        return self.lead(better, worse).low > by and not self.is_shrinking(better, worse)


def _contest(
    probed: list[Probed], standing: list[str], trials: dict[str, Tried], *, num_folds: int, confidence: float
) -> _Contest:
    if len(standing) > 1 and all(name in trials for name in standing):
        num_steps = trials[standing[0]].num_steps

        def lead_of_trials(better: str, worse: str) -> Interval:
            differences_M = trials[better].is_right_M.astype(float) - trials[worse].is_right_M
            return bounded_interval(differences_M, trials[better].groups_M, bounds=(-1, 1), confidence=confidence)

        def is_shrinking(better: str, worse: str) -> bool:
            before = trials[better].accuracy_before, trials[worse].accuracy_before
            if before[0] is None or before[1] is None:
                return False
            return trials[better].accuracy - trials[worse].accuracy < before[0] - before[1] - 1e-9

        return _Contest(
            standing,
            lead_of_trials,
            f"after {num_steps} steps of fine-tuning, {{}} is {{}} better than {{}}",
            is_shrinking,
        )
    probes = {candidate.name: candidate.probe_F for candidate in probed}

    def lead_of_probes(better: str, worse: str) -> Interval:
        return resampled_interval(probes[better] - probes[worse], num_folds=num_folds, confidence=confidence)

    return _Contest(
        sorted(probes, key=lambda name: -float(probes[name].mean())),
        lead_of_probes,
        "by the probe, {} is {} better than {}",
    )


def in_points(lead: Interval) -> str:
    return f"{100 * lead.mean:+.1f} points [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]"
