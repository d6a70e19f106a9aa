"""Top of the page, for whoever reads nothing else: one sentence, advice, and one table."""

from dataclasses import dataclass

from graft.core.arms import ARMS, BASELINE
from graft.core.artifacts import Interval
from graft.examination.result import IN_WORDS, ArmExamination, Examination
from graft.experiment.result import ArmResult
from graft.report.numbers import percent, percent_range, points, points_range
from graft.transfer.claims import percent_of
from graft.transfer.labels_saved import LabelsSaved, NeededLabels
from graft.transfer.parts import harmed
from graft.transfer.verdict import Verdict

NONE = "–"
LEAST_DROP_POINTS = 0.05
"""Smallest drop in accuracy that is shown, in points; smaller ones would be rounded to zero."""


@dataclass(frozen=True)
class Cell:
    value: str
    range: str = ""
    """Interval in words."""


@dataclass(frozen=True)
class Row:
    name: str
    cells: list[Cell]
    """Values for the start from the source, the start from scratch, and the latter trained for as long as it helped."""


def verdict_sentence(verdict: Verdict, source: str) -> str:
    size = f"{abs(verdict.gain_points.mean):.1f}"
    start = f"starting from {source}"
    if verdict.rests_on_runs:
        better = verdict.verdict == "positive"
        share = verdict.share_of_pairs if better else 1 - verdict.share_of_pairs
        word = "better" if better else "worse"
        took = "took" if better else "did not take"
        better_share = f"in {share:.0%} of comparisons, a model {start} is {word}"
        return f"The graft {took}: {better_share} than one trained {BASELINE.how}."
    return {
        "positive": f"The graft took: {start} is {size} points more accurate than starting {BASELINE.how}.",
        "equivalent": f"No difference that matters between {start} and starting {BASELINE.how}.",
        "inconclusive": f"Not proven: no significant difference between {start} and starting {BASELINE.how}.",
        "negative": f"The graft did not take: {start} is {size} points less accurate than starting {BASELINE.how}.",
    }[verdict.verdict]


def advice(verdict: Verdict, examination: Examination, source: str) -> str:
    """Advice on what to do now, and on weaknesses of the model."""
    if verdict.exported_arm != "transfer":
        return verdict.decision
    exported = f"The model that started from {source} is exported"
    match verdict.verdict:
        case "positive":
            todo = f"{exported}: use it, and start from {source} again when new data come."
        case "equivalent":
            todo = f"{exported}. Both starts are equally accurate; decide by the labels and the compute below."
        case _:
            would = {"trainings from each start": verdict.seeds_needed, "independent test images": verdict.units_needed}
            more = " or ".join(f"{number:,} {what}" for what, number in would.items() if number is not None)
            wanted = f" About {more} in total would decide it." if more else ""
            todo = f"{exported}, but there is no evidence that {source} helped.{wanted}"
    worse = [f"{kind} {part.name}" for kind, gains in verdict.parts.items() for part in harmed(gains)]
    worse_under = [IN_WORDS[found.corruption] for found in examination.differences if found.breaks_first == "transfer"]
    notes = [f"it is worse on {', '.join(worse)}"] if worse else []
    notes += [f"it suffers more from {' and '.join(worse_under)} than the model {BASELINE.how}"] if worse_under else []
    return f"{todo} Note: {'; '.join(notes)}." if notes else todo


def in_numbers(
    verdict: Verdict, transfer: ArmResult, baseline: ArmResult, examination: Examination, labels: LabelsSaved
) -> list[Row]:
    """Rows of the table; they have a third cell if a longer training was tried."""
    longer, scores, examined = verdict.against_longer, verdict.scores, examination.arms
    accuracies = [_share(scores[arm].accuracy) for arm in ARMS]
    gains = [Cell(NONE), _gain(verdict.gain_points)]
    compute = [Cell("1×"), _times(baseline.training_tflops_per_seed / transfer.training_tflops_per_seed)]
    if longer is not None:
        accuracies.append(_share(longer.baseline_accuracy))
        gains.append(_gain(longer.gain_points))
        compute.append(
            _times(longer.budget_ratio * baseline.training_tflops_per_seed / transfer.training_tflops_per_seed)
        )
    shipped = [_share(scores[arm].shipped_accuracy) for arm in ARMS]
    rows = [
        Row("Test accuracy, mean of all trainings", accuracies),
        Row("Test accuracy of the exported model", shipped),
        Row("Gain, points", gains),
        Row("Runs from the source that are better", [Cell(NONE), _probability(verdict)]),
        Row("Calibration error", [_share(examined[arm].before.ece) for arm in ARMS]),
        Row("Largest drop under", [_worst(examined[arm]) for arm in ARMS]),
    ]
    if labels.needed is not None:
        rows.append(Row(f"Labels needed to match training {BASELINE.how} with all labels", _labels(labels.needed)))
    rows.append(Row("Compute per training", compute))
    width = max(len(row.cells) for row in rows)
    return [Row(row.name, row.cells + [Cell(NONE)] * (width - len(row.cells))) for row in rows]


def _share(interval: Interval) -> Cell:
    return Cell(percent(interval.mean), percent_range(interval))


def _probability(verdict: Verdict) -> Cell:
    """Observed share of pairs of runs, and the probability for the next pair with its interval."""
    return Cell(
        f"{100 * verdict.share_of_pairs:.0f}\N{NO-BREAK SPACE}% of pairs",
        f"next pair: {percent_of(verdict.improvement)}",
    )


def _gain(interval: Interval) -> Cell:
    return Cell(points(interval.mean), points_range(interval))


def _worst(examined: ArmExamination) -> Cell:
    """Corruption with the largest mean drop in accuracy over its severities."""
    drops: dict[str, list[float]] = {}
    for score in examined.corrupted:
        drops.setdefault(score.corruption, []).append(score.drop_points.mean)
    means = {name: sum(drops_by_severity) / len(drops_by_severity) for name, drops_by_severity in drops.items()}
    worst = max(means, key=lambda name: means[name])
    if means[worst] < LEAST_DROP_POINTS:
        return Cell(NONE, "no accuracy lost")
    return Cell(worst, f"{points(-means[worst])} points")


def _labels(needed: NeededLabels) -> list[Cell]:
    value = f"more than {needed.all:,}" if needed.labels is None else f"{needed.labels:,.0f}"
    return [Cell(value, needed.saved_in_words), Cell(f"{needed.all:,}")]


def _times(ratio: float) -> Cell:
    return Cell(f"{ratio:.2g}×")
