"""Who stays in the contest, and who wins it: plain rules on accuracies in folds. F folds.

1. The probe: a source stays unless the folds separate it from the best one. The best by nearest neighbours stays too,
   and so does one strong default, whatever the probe says.
2. Halving: short real fine-tuning on one fold after another; in each round the better half goes on, two at least.
3. The winner is the better one of the last two if the folds separate them, else the cheaper one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graft.artifacts import Interval
from graft.selection.probe import resampled_interval


@dataclass(frozen=True)
class Probed:
    name: str
    gflops: float
    """What it costs in use: one picture."""
    probe_F: np.ndarray
    """Accuracy in each fold, 0..1; the folds of all are the same."""
    knn_accuracy: float


@dataclass(frozen=True)
class Halving:
    accuracies: dict[str, list[float]]
    """In the held-out part of each fold that a source was fine-tuned on, 0..1."""
    dropped: dict[str, str]
    """name -> when and why."""

    @property
    def last(self) -> list[str]:
        return [name for name in self.accuracies if name not in self.dropped]


@dataclass(frozen=True)
class Winner:
    name: str
    runner_up: str | None
    lead: Interval | None
    """Of the better of the two over the other, in accuracy."""
    is_separated: bool
    reason: str


def pick_finalists(
    probed: list[Probed], *, default: str, max_finalists: int, num_folds: int
) -> tuple[list[str], dict[str, str]]:
    """Names in the order of their probes, and why the others are out (name -> reason).

    Args:
        max_finalists: at least 2; the default counts among them.
        num_folds: of one repetition of the cross-validation.
    """
    ranked = sorted(probed, key=lambda candidate: -candidate.probe_F.mean())
    best = ranked[0]
    nearest = max(probed, key=lambda candidate: candidate.knn_accuracy)
    protected = {best.name, default}
    dropped = {}
    for candidate in ranked[1:]:
        lead = resampled_interval(best.probe_F - candidate.probe_F, num_folds=num_folds)
        if lead.low > 0 and candidate.name not in {*protected, nearest.name}:
            dropped[candidate.name] = f"by the probe: {best.name} is {in_points(lead)} better"
    stayed = [candidate.name for candidate in ranked if candidate.name not in dropped]
    for name in reversed(stayed):
        if len(stayed) > max_finalists and name not in protected:
            stayed.remove(name)
            dropped[name] = f"by the probe: not among the best {max_finalists} (select.max_finalists)"
    return stayed, dropped


def halve(finalists: list[str], fine_tune: Callable[[str, int], float | None], *, num_folds: int) -> Halving:
    """Fine-tunes on fold 0, then 1, then 2 and 3, and so on; before each but the first, the worse half is dropped.

    Args:
        fine_tune: name and fold to the accuracy on the fold's held-out part, or None when there is no time for it;
            then all stop where they are, and folds that not all have tried are not counted.
    """
    accuracies: dict[str, list[float]] = {name: [] for name in finalists}
    dropped: dict[str, str] = {}
    standing = list(finalists)
    for number, folds in enumerate(rounds(num_folds), start=1):
        tried = {name: [fine_tune(name, fold) for fold in folds] for name in standing}
        if any(accuracy is None for of_source in tried.values() for accuracy in of_source):
            break
        for name in standing:
            accuracies[name] += [accuracy for accuracy in tried[name] if accuracy is not None]
        if len(standing) > 2 and folds[-1] + 1 < num_folds:
            standing.sort(key=lambda name: -float(np.mean(accuracies[name])))
            num_kept = max(2, math.ceil(len(standing) / 2))
            for name in standing[num_kept:]:
                dropped[name] = f"in round {number} of fine-tuning: in the worse half"
            standing = standing[:num_kept]
    return Halving(accuracies, dropped)


def rounds(num_folds: int) -> list[list[int]]:
    """[0], [1], [2, 3], [4, 5, 6, 7] ...: each round doubles what was tried before it."""
    starts = [0] + [2**power for power in range(num_folds.bit_length()) if 2**power < num_folds]
    return [list(range(start, end)) for start, end in zip(starts, [*starts[1:], num_folds], strict=True)]


def name_winner(probed: list[Probed], halving: Halving, *, num_folds: int) -> Winner:
    """The better of the last two if the folds separate them, else the cheaper; by the probe where nothing was tried."""
    costs = {candidate.name: candidate.gflops for candidate in probed}
    probes = {candidate.name: candidate.probe_F for candidate in probed}
    tried = {name: np.array(halving.accuracies[name]) for name in halving.last if len(halving.accuracies[name]) > 1}
    scores, folds, by = (tried, 0, "short fine-tuning") if len(tried) > 1 else (probes, num_folds, "the probe")
    ranked = sorted(scores, key=lambda name: -float(scores[name].mean()))
    if len(ranked) == 1:
        return Winner(ranked[0], None, None, True, "the only candidate")
    best, second = ranked[:2]
    lead = resampled_interval(scores[best] - scores[second], num_folds=folds or len(scores[best]))
    if lead.low > 0:
        return Winner(best, second, lead, True, f"by {by} {in_points(lead)} better than {second}")
    cheaper, other = sorted((best, second), key=lambda name: costs[name])
    reason = (
        f"by {by}, {best} is {in_points(lead)} better than {second}, which does not separate them; "
        f"{cheaper} is the cheaper one ({costs[cheaper]:.2f} against {costs[other]:.2f} GFLOPs)"
    )
    return Winner(cheaper, other, lead, False, reason)


def in_points(lead: Interval) -> str:
    return f"{100 * lead.mean:+.1f} points [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]"
