"""Who stays in the contest, and who wins it: plain rules. F folds, M held-out samples.

1. The probe: a source stays unless the folds separate it from the best one. The best by nearest neighbours stays too,
   and so does one strong default, whatever the probe says.
2. Halving: short real fine-tuning; after each round the better half, by the loss on held-out samples, goes on to
   twice as many steps, and the default with it: a strong network from afar starts behind and overtakes.
   Source: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification" (arXiv 1502.07943).
3. The winner is the better one of the two that lead, if that is sure enough, else the cheaper one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graft.artifacts import Interval
from graft.selection.intervals import mean_interval, resampled_interval


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
    accuracy: float

    @property
    def loss(self) -> float:
        return float(self.losses_M.mean())


@dataclass(frozen=True)
class Winner:
    name: str
    runner_up: str | None
    lead: Interval | None
    """Of the better of the two: what it loses less, in nats a sample; in accuracy, 0..1, where nothing was tried."""
    is_separated: bool
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
        last |= trials
        standing.sort(key=lambda name: last[name].loss)
        if number + 1 < num_rounds:
            for name in standing[max(2, math.ceil(len(standing) / 2)) :]:
                if name == default:
                    continue
                dropped[name] = f"in round {number + 1} of fine-tuning: in the worse half"
            standing = [name for name in standing if name not in dropped]
    return standing, last, dropped


def name_winner(
    probed: list[Probed], standing: list[str], trials: dict[str, Tried], *, num_folds: int, confidence: float
) -> Winner:
    """The better of the two that lead at the end if that is sure enough, else the cheaper of them.

    They lead in the last round of fine-tuning, or by the probe where fewer than two were tried.
    Args:
        confidence: of the interval of their difference; it must not hold zero. A choice is no claim: to wait for 95 %
            is paid for in accuracy wherever labels are few.
    """
    by_name = {candidate.name: candidate for candidate in probed}
    if len(standing) > 1 and all(name in trials for name in standing):
        best, second = standing[:2]
        lead = mean_interval(trials[second].losses_M - trials[best].losses_M, confidence=confidence)
        by = f"after {trials[best].num_steps} steps of fine-tuning, {best} loses {in_nats(lead)} less than {second}"
    elif len(by_name) > 1:
        best, second = sorted(by_name, key=lambda name: -float(by_name[name].probe_F.mean()))[:2]
        differences_F = by_name[best].probe_F - by_name[second].probe_F
        lead = resampled_interval(differences_F, num_folds=num_folds, confidence=confidence)
        by = f"by the probe, {best} is {in_points(lead)} better than {second}"
    else:
        return Winner(probed[0].name, None, None, True, "the only candidate")
    if lead.low > 0:
        return Winner(best, second, lead, True, by)
    cheaper, dearer = sorted((best, second), key=lambda name: by_name[name].gflops)
    reason = (
        f"{by}, which does not separate them; {cheaper} is the cheaper one "
        f"({by_name[cheaper].gflops:.2f} against {by_name[dearer].gflops:.2f} GFLOPs)"
    )
    return Winner(cheaper, dearer, lead, False, reason)


def in_points(lead: Interval) -> str:
    return f"{100 * lead.mean:+.1f} points [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]"


def in_nats(lead: Interval) -> str:
    return f"{lead.mean:.3f} [{lead.low:.3f}, {lead.high:.3f}] nats a sample"
