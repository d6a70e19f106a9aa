"""Plots of the arms' calibration, and of their accuracy on corrupted images (graft.report.drawing)."""

from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.core.arms import ArmName
from graft.core.artifacts import Interval
from graft.examination.result import IN_WORDS, ArmExamination, CorruptionName, Examination
from graft.report.drawing import ARM_LOOKS, MUTED, STYLE, WIDTH, inches, listing, percent_tick, svg

CLEAN = 0
"""Position of the clean images on the axis of severities."""
ARM_OFFSET = 0.12
"""Horizontal distance between the two arms, so that intervals do not hide each other."""


@style.context(STYLE)
def reliability(examination: Examination) -> Markup:
    """Accuracy against confidence, one point with its interval per bin; a calibrated model is on the diagonal."""
    figure = Figure(figsize=inches(WIDTH, 340), layout="constrained")
    axes = figure.subplots()
    parts = []
    for arm, found in examination.arms.items():
        confidences = [point.confidence for point in found.reliability]
        _line(axes, confidences, [point.accuracy for point in found.reliability], arm)
        accuracies = listing([point.accuracy.mean for point in found.reliability], ".2f")
        parts.append(
            f"{arm}, calibration error {found.before.ece.mean:.1%}: confidence {listing(confidences, '.2f')}, "
            f"accuracy {accuracies}"
        )
    lowest = max(0, min(axes.get_xlim()[0], axes.get_ylim()[0]))
    axes.plot([lowest, 1], [lowest, 1], color=MUTED, linestyle=":", linewidth=1.6, label="calibrated")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(percent_tick)
        axis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    figure.legend(loc="outside upper left", ncols=3, borderaxespad=0, columnspacing=1.2)
    return svg(figure, "reliability", f"Accuracy by confidence. {'; '.join(parts)}.")


@style.context(STYLE)
def accuracy_by_severity(examination: Examination) -> Markup:
    """One panel per corruption: both arms' accuracy on clean images, then by severity, with intervals."""
    figure = Figure(figsize=inches(WIDTH, 400), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    parts = []
    for axes, (corruption, words) in zip(panels, IN_WORDS.items(), strict=True):
        title = words[0].upper() + words[1:]
        for number, (arm, found) in enumerate(examination.arms.items()):
            accuracies = _accuracies(found, corruption)
            _line(axes, [severity + ARM_OFFSET * number for severity in accuracies], list(accuracies.values()), arm)
            parts.append(f"{title}, {arm}: {listing([found.mean for found in accuracies.values()], '.1%')}")
        axes.set_title(title, fontsize=12, loc="left")
        axes.set_xticks(list(accuracies), ["clean", *(str(severity) for severity in list(accuracies)[1:])])
        axes.yaxis.set_major_formatter(percent_tick)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", labelcolor=MUTED)
    figure.supxlabel("severity", fontsize=12, color=MUTED)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, borderaxespad=0)
    return svg(figure, "severity", f"Test accuracy, clean and by severity. {'; '.join(parts)}.")


def _accuracies(found: ArmExamination, corruption: CorruptionName) -> dict[int, Interval]:
    """Accuracy by severity, that on clean images first."""
    of_corruption = {score.severity: score.accuracy for score in found.corrupted if score.corruption == corruption}
    return {CLEAN: found.clean_accuracy, **of_corruption}


def _line(axes: Axes, places: list[float], intervals: list[Interval], arm: ArmName) -> None:
    means = [interval.mean for interval in intervals]
    below = [interval.mean - interval.low for interval in intervals]
    above = [interval.high - interval.mean for interval in intervals]
    axes.errorbar(places, means, yerr=[below, above], **ARM_LOOKS[arm], linewidth=1.8, elinewidth=1, markersize=5,
                  label=arm)  # fmt: skip
