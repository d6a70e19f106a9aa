"""Plots of the report, as inline SVG."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from graft.core.artifacts import Interval
from graft.core.percentages import percent
from graft.report.drawing import (
    ACCENT,
    ACCENT_FAINT,
    ACCENT_SOFT,
    ARM_LOOKS,
    HARM,
    INK,
    LINE,
    MUTED,
    OTHER,
    STYLE,
    SURFACE,
    WIDTH,
    inches,
    listing,
    percent_tick,
    svg,
)  # fmt: skip
from graft.report.numbers import points
from graft.selection.result import SourceScore
from graft.transfer.parts import harmed
from graft.transfer.verdict import Verdict

ROW_HEIGHT = 27
MAX_NAME_LENGTH = 26
MAX_BARS = 20
MAX_PARTS = 6
"""Largest number of parts drawn per kind."""
HEATMAP_COLOUR = "#159a86"
"""Colour of the heat map, with the row's share as opacity, so that it suits a light and a dark page."""


@style.context(STYLE)
def gain_forest(verdict: Verdict) -> Markup:
    """Gain with its interval, and each seed's gain as an open point, or a cross if a run collapsed; below it the gain
    over the longer training from scratch, and the gains of the parts, the lowest ones if there are many."""
    rows = {"all test images": verdict.gain_points}
    if (longer := verdict.against_longer) is not None:
        rows[f"baseline at its best, {longer.budget_ratio:g}×"] = longer.gain_points
    wholes = list(rows.values())
    worse = set()
    for kind, gains in verdict.parts.items():
        lowest = sorted(gains, key=lambda part: part.gain_points.mean)[:MAX_PARTS]
        rows |= {f"{kind} {part.name}": part.gain_points for part in gains if part in lowest}
        worse |= {f"{kind} {part.name}" for part in harmed(gains)}
    figure, axes = _rows_plot(list(rows))
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.axhline(len(wholes) - 0.5, color=LINE, linewidth=0.8)
    per_seed, collapsed = verdict.gain_points_per_seed, verdict.collapsed_seeds
    for seed, of_seed in zip(verdict.seeds, per_seed, strict=True):
        axes.plot(of_seed, 0.28, "x" if seed in collapsed else "o", color=ACCENT, markerfacecolor=SURFACE, markersize=5)
    for row, (name, gain) in enumerate(rows.items()):
        colour = HARM if name in worse else ACCENT if row == 0 else OTHER
        _interval(axes, gain, row, colour, is_filled=row == 0 or name in worse)
    _value_labels(axes, [points(gain.mean) for gain in rows.values()])
    reach = [0.0, *(gain.mean for gain in rows.values()), *(end for gain in wholes for end in (gain.low, gain.high))]
    margin = 0.12 * (max(reach) - min(reach))
    axes.set_xlim(min(reach) - margin, max(reach) + margin)  # intervals of small parts may extend far beyond
    axes.set_xlabel("gain in test accuracy, points")
    listed = "; ".join(f"{name} {gain.in_points}" for name, gain in rows.items())
    return svg(figure, "gain", f"Gain: {listed}. Each training's: {listing(per_seed, '+.1f')} points.")


@style.context(STYLE)
def accuracy_by_seed(verdict: Verdict, baseline: float) -> Markup:
    """Both arms' test accuracies, joined seed by seed, and the accuracy of always predicting the largest class."""
    figure, axes = _rows_plot([f"seed {seed}" for seed in verdict.seeds], has_legend=True)
    rows, by_arm = range(verdict.num_seeds), {arm: score.accuracy_per_seed for arm, score in verdict.scores.items()}
    axes.hlines(rows, by_arm["baseline"], by_arm["transfer"], color=ACCENT_FAINT, linewidth=4)
    for arm in ("baseline", "transfer"):
        looks = {**ARM_LOOKS[arm], "linestyle": ""}
        axes.plot(by_arm[arm], rows, **looks, markersize=8, label=arm)
        collapsed = [row for row, seed in enumerate(verdict.seeds) if seed in verdict.scores[arm].collapsed_seeds]
        axes.plot([by_arm[arm][row] for row in collapsed], collapsed, "x", color=HARM, markersize=11)
    axes.axvline(baseline, color=MUTED, linestyle=":", linewidth=1.6, label="always predicting the largest class")
    axes.xaxis.set_major_formatter(percent_tick)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("test accuracy")
    figure.legend(loc="outside upper left", ncols=3, handletextpad=0.3, columnspacing=1.2, borderaxespad=0)
    label = (
        f"Test accuracy per seed. Transfer: {listing(by_arm['transfer'], '.1%')}; "
        f"baseline: {listing(by_arm['baseline'], '.1%')}; "
        f"always predicting the largest class: {baseline:.1%}."
    )
    return svg(figure, "accuracy", label)


@style.context(STYLE)
def learning_curves(curves: pd.DataFrame, column: str, axis_label: str) -> Markup:
    """Learning curves: a thin line per seed, a thick one for their mean.

    Args:
        curves: columns arm, seed, epoch and `column`.
    """
    figure = Figure(figsize=inches(WIDTH, 280), layout="constrained")
    axes = figure.subplots()
    means_by_arm: dict[str, pd.Series] = {}
    for arm, looks in ARM_LOOKS.items():
        of_arm = curves[curves["arm"] == arm]
        for _, of_seed in of_arm.groupby("seed"):
            axes.plot(of_seed["epoch"], of_seed[column], color=looks["color"], linewidth=0.9, alpha=0.45)
        means = means_by_arm[arm] = of_arm.groupby("epoch")[column].mean()
        spacing = max(1, len(means) // 8)
        axes.plot(means.index, means, **looks, linewidth=2.6, markersize=6, markevery=spacing, label=f"{arm}, mean")
    if column.endswith("accuracy"):
        axes.yaxis.set_major_formatter(percent_tick)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("epoch")
    figure.legend(loc="outside upper left", ncols=2, borderaxespad=0)
    ends = ", ".join(f"{arm} {means.iloc[-1]:.3f}" for arm, means in means_by_arm.items())
    return svg(figure, column, f"{axis_label} by epoch for both arms; mean after the last epoch: {ends}.")


@style.context(STYLE)
def confusion_heatmap(counts_KK: np.ndarray) -> Markup:
    """Confusion matrix by class index: rows are true classes, columns predicted ones; darker: larger share."""
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    colours_KK4 = np.empty((*counts_KK.shape, 4))
    colours_KK4[..., :3] = to_rgb(HEATMAP_COLOUR)
    colours_KK4[..., 3] = shares_KK
    figure = Figure(figsize=inches(WIDTH, WIDTH), layout="constrained")
    axes = figure.subplots()
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.imshow(colours_KK4, interpolation="none")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("predicted class, by index")
    axes.set_ylabel("true class, by index")
    label = f"Confusion matrix of {len(counts_KK)} classes; the tables next to it hold its main numbers."
    return svg(figure, "confusion", label)


@style.context(STYLE)
def class_balance(counts: dict[str, dict[str, int]], classes: Sequence[str]) -> Markup:
    """One bar per class, stacked by split; if there are many classes, the largest and the smallest ones.

    Args:
        counts: split -> class -> number of samples.
    """
    totals = {name: sum(of_split[name] for of_split in counts.values()) for name in classes}
    ordered = sorted(classes, key=lambda name: -totals[name])
    shown = ordered if len(ordered) <= MAX_BARS else ordered[: MAX_BARS // 2] + ordered[-MAX_BARS // 2 :]
    figure, axes = _rows_plot(shown, has_legend=True)
    left = np.zeros(len(shown))
    for (split, of_split), colour in zip(counts.items(), (ACCENT, ACCENT_SOFT, ACCENT_FAINT), strict=True):
        widths = np.array([of_split[name] for name in shown])
        axes.barh(range(len(shown)), widths, left=left, color=colour, edgecolor=SURFACE, height=0.62, label=split)
        left += widths
    _value_labels(axes, [f"{totals[name]:,}" for name in shown])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("samples")
    figure.legend(loc="outside upper left", ncols=3, borderaxespad=0)
    label = "Samples per class: " + ", ".join(f"{name} {totals[name]}" for name in shown) + "."
    return svg(figure, "balance", label)


@style.context(STYLE)
def source_probes(ranking: Sequence[SourceScore], chosen: str) -> Markup:
    """Probe accuracy of each source with its interval; the chosen one in colour."""
    return _sources_forest(
        {score.name: score.probe for score in ranking},
        chosen,
        "probes",
        "cross-validated accuracy of the probe",
        percent,
    )


@style.context(STYLE)
def source_trials(ranking: Sequence[SourceScore], chosen: str) -> Markup:
    """Accuracy of each fine-tuned source after short fine-tuning, with its interval; the chosen one in colour."""
    return _sources_forest(
        {score.name: score.trial.accuracy for score in ranking if score.trial},
        chosen,
        "trials",
        "accuracy on held-out samples",
        percent,
    )


def _sources_forest(
    intervals: Mapping[str, Interval], chosen: str, name: str, axis_label: str, in_words: Callable[[float], str]
) -> Markup:
    figure, axes = _rows_plot(list(intervals))
    for row, (source, interval) in enumerate(intervals.items()):
        _interval(axes, interval, row, ACCENT if source == chosen else OTHER, is_filled=source == chosen)
    _value_labels(axes, [in_words(interval.mean) for interval in intervals.values()])
    axes.xaxis.set_major_formatter(lambda value, _: in_words(value))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(axis_label)
    listed = ", ".join(f"{source} {in_words(interval.mean)}" for source, interval in intervals.items())
    return svg(figure, name, f"{axis_label}: {listed}. Chosen: {chosen}.")


@style.context(STYLE)
def cost_against_accuracy(ranking: Sequence[SourceScore], chosen: str) -> Markup:
    """Accuracy of each source against its cost of inference: up and to the left is better."""
    figure = Figure(figsize=inches(WIDTH, 300), layout="constrained")
    axes = figure.subplots()
    for score in ranking:
        colour = ACCENT if score.name == chosen else OTHER
        face = SURFACE if score.dropped else colour
        accuracy = _accuracy(score)
        axes.plot([score.gflops], [accuracy], "D", color=colour, markerfacecolor=face, markersize=8)
        axes.annotate(
            _shortened(score.name), (score.gflops, accuracy), (0, 9), textcoords="offset points", ha="center",
            color=colour if score.name == chosen else MUTED,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(0.22, 0.18)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(percent_tick)
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("GFLOPs per image")
    axes.set_ylabel("accuracy", color=MUTED)
    label = ", ".join(f"{score.name} {score.gflops:.2g} GFLOPs {_accuracy(score):.1%}" for score in ranking)
    return svg(figure, "cost", f"Accuracy against inference cost: {label}.")


def _accuracy(score: SourceScore) -> float:
    """Accuracy after short fine-tuning, or of the probe if the source was not fine-tuned."""
    return score.trial.accuracy.mean if score.trial else score.probe.mean


def _rows_plot(names: Sequence[str], *, has_legend: bool = False) -> tuple[Figure, Axes]:
    """Axes with one row per name, the first at the top."""
    height = ROW_HEIGHT * (len(names) + 2 + has_legend)
    figure = Figure(figsize=inches(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [_shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _interval(axes: Axes, interval: Interval, row: float, colour: str, *, is_filled: bool = True) -> None:
    reach = [[interval.mean - interval.low], [interval.high - interval.mean]]
    axes.errorbar(
        [interval.mean], [row], xerr=reach, fmt="D", color=colour, capsize=4, elinewidth=2, markersize=7,
        markerfacecolor=colour if is_filled else SURFACE,
    )  # fmt: skip


def _value_labels(axes: Axes, labels: Sequence[str]) -> None:
    """Labels on the right side, in place of a second axis."""
    right_axis = axes.secondary_yaxis("right")
    right_axis.set_yticks(range(len(labels)), labels)
    right_axis.tick_params(length=0)
    right_axis.spines[:].set_visible(False)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"
