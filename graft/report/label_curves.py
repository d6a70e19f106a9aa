"""Plot of both arms' accuracy against the number of labels, and of the horizontal distance between them."""

from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from graft.report.drawing import ACCENT_FAINT, ARM_LOOKS, INK, MUTED, STYLE, SURFACE, WIDTH, inches, percent_tick, svg
from graft.transfer.labels_saved import LabelsSaved, NeededLabels

HEIGHT = 300
ARM_OFFSET = 1.012
"""Factor between the two arms' interval bars, so that they do not cover each other."""
MARGIN = 0.3
"""Margin above and below, as a share of the height between."""


@style.context(STYLE)
def label_curves(found: LabelsSaved) -> Markup:
    """Means with their intervals, monotonic curves through them, and the labels saved at the same accuracy."""
    figure = Figure(figsize=inches(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    numbers = [count.num_labels for count in found.counts]
    for (arm, looks), offset in zip(ARM_LOOKS.items(), (1 / ARM_OFFSET, ARM_OFFSET), strict=True):
        intervals = [count.accuracy[arm] for count in found.counts]
        reach = [[each.mean - each.low for each in intervals], [each.high - each.mean for each in intervals]]
        of_bars = {**looks, "linestyle": ""}
        axes.errorbar(
            [number * offset for number in numbers], [each.mean for each in intervals], yerr=reach, **of_bars,
            capsize=4, elinewidth=1.6, markersize=7, zorder=3,
        )  # fmt: skip
        curve = [count.curve[arm] for count in found.counts]
        axes.plot(numbers, curve, **{**looks, "marker": ""}, linewidth=2.2)
        axes.plot([], [], **looks, linewidth=2.2, markersize=7, label=arm)
    axes.set_xscale("log")
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(percent_tick)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_ylim(*_limits(found))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("number of training labels")
    figure.legend(loc="outside upper left", ncols=2, borderaxespad=0)
    if found.needed is not None and found.needed.labels is not None:
        _mark(axes, found.needed, found.counts[-1].accuracy["baseline"].mean)
    return svg(figure, "labels", _in_words(found))


def _limits(found: LabelsSaved) -> tuple[float, float]:
    """Range of the means and of the intervals with all labels; an interval with few labels may extend far beyond."""
    means = [interval.mean for count in found.counts for interval in count.accuracy.values()]
    with_all = found.counts[-1].accuracy.values()
    lowest = min(*means, *(interval.low for interval in with_all))
    highest = max(*means, *(interval.high for interval in with_all))
    margin = MARGIN * (highest - lowest)
    return max(0.0, lowest - margin), min(1.0, highest + margin)


def _mark(axes: Axes, needed: NeededLabels, accuracy: float) -> None:
    """Draws an arrow from all labels back to those that transfer needs for the same accuracy."""
    assert needed.labels is not None
    low, high = needed.low or needed.all, needed.high or needed.all
    axes.plot([low, high], [accuracy, accuracy], color=ACCENT_FAINT, linewidth=9, solid_capstyle="butt", zorder=0.5)
    axes.annotate(
        "", (needed.labels, accuracy), (needed.all, accuracy), zorder=4,
        arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
    axes.annotate(
        needed.saved_in_words.partition(" [")[0], (needed.all, accuracy), (-12, 7), textcoords="offset points",
        ha="right", color=INK, fontweight="bold", zorder=5, bbox={"facecolor": SURFACE, "edgecolor": "none", "pad": 1},
    )  # fmt: skip


def _in_words(found: LabelsSaved) -> str:
    points = ", ".join(
        f"{count.num_labels:,} labels {count.accuracy['transfer'].mean:.1%} and {count.accuracy['baseline'].mean:.1%}"
        for count in found.counts
    )
    return f"Test accuracy of transfer and baseline: {points}. {found.claim}"
