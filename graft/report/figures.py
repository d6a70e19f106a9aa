"""Plots as inline SVG. Equal inputs give equal bytes; colours are the page's CSS variables, so they follow its theme.

A plot is 420 units wide with 12-unit text: readable at 350 px on a phone as well as at 520 px on a desktop.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from graft.artifacts import Interval, SourceScore
from graft.transfer.verdict import Verdict

WIDTH = 420
ROW_HEIGHT = 27
POINTS_PER_INCH = 72
MAX_NAME_LENGTH = 26
MAX_BARS = 20
INK, MUTED, LINE, ACCENT, ACCENT_SOFT, ACCENT_FAINT, OTHER, SURFACE = (
    "#17201d", "#5a6661", "#d5dcd9", "#0f6b5d", "#6fa79e", "#c3dad6", "#68726f", "#fefefe",
)  # fmt: skip
CSS_COLOURS = {
    INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", ACCENT: "var(--accent)",
    ACCENT_SOFT: "var(--accent-soft)", ACCENT_FAINT: "var(--accent-faint)", OTHER: "var(--other)",
    SURFACE: "var(--surface)",
}  # fmt: skip
HEATMAP_COLOUR = "#159a86"
"""Drawn with the row's share as opacity, so that it suits a light and a dark page."""
STYLE: Sequence[str | dict[str, Any]] = [
    "default",
    {
        "svg.fonttype": "none", "svg.hashsalt": "graft", "text.parse_math": False, "font.size": 12,
        "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.facecolor": "none",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "grid.color": LINE, "grid.linewidth": 0.6, "xtick.color": LINE, "ytick.color": LINE,
        "xtick.labelcolor": MUTED, "ytick.labelcolor": INK, "figure.facecolor": "none", "legend.frameon": False,
    },
]  # fmt: skip
ARM_LOOKS: dict[str, dict[str, Any]] = {
    "transfer": {"color": ACCENT, "marker": "o", "linestyle": "-"},
    "scratch": {"color": OTHER, "marker": "s", "linestyle": "--"},
}


@style.context(STYLE)
def gain_forest(seeds: Sequence[int], gains: Sequence[float], mean: Interval) -> Markup:
    """Each seed's gain in points as an open point, their mean with its interval, and the line of no gain."""
    figure, axes = _rows_plot([*(f"seed {seed}" for seed in seeds), "mean"])
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.axhline(len(gains) - 0.5, color=LINE, linewidth=0.8)
    axes.plot(gains, range(len(gains)), "o", color=ACCENT, markerfacecolor=SURFACE, markersize=7)
    _interval(axes, mean, len(gains), ACCENT)
    _value_labels(axes, [f"{gain:+.1f}".replace("-", "\N{MINUS SIGN}") for gain in [*gains, mean.mean]])
    axes.margins(x=0.08)
    axes.set_xlabel("gain in test accuracy, points")
    interval = f"{mean.mean:+.1f} [{mean.low:+.1f}, {mean.high:+.1f}]"
    return _svg(figure, "gain", f"Gain of each seed: {_listing(gains, '+.1f')} points; mean {interval}.")


@style.context(STYLE)
def accuracy_by_seed(verdict: Verdict, baseline: float) -> Markup:
    """Both arms' test accuracies, joined seed by seed, and the accuracy of always answering the largest class."""
    figure, axes = _rows_plot([f"seed {seed}" for seed in verdict.seeds], has_legend=True)
    rows, by_arm = range(verdict.num_seeds), {arm: score.accuracy_per_seed for arm, score in verdict.scores.items()}
    axes.hlines(rows, by_arm["scratch"], by_arm["transfer"], color=ACCENT_FAINT, linewidth=4)
    for arm in ("scratch", "transfer"):
        looks = {**ARM_LOOKS[arm], "linestyle": ""}
        axes.plot(by_arm[arm], rows, **looks, markersize=8, label=arm)
    axes.axvline(baseline, color=MUTED, linestyle=":", linewidth=1.6, label="always the largest class")
    axes.xaxis.set_major_formatter(_percent)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("test accuracy")
    figure.legend(loc="outside upper left", ncols=3, handletextpad=0.3, columnspacing=1.2, borderaxespad=0)
    label = (
        f"Test accuracy a seed. Transfer: {_listing(by_arm['transfer'], '.1%')}; "
        f"scratch: {_listing(by_arm['scratch'], '.1%')}; "
        f"always the largest class: {baseline:.1%}."
    )
    return _svg(figure, "accuracy", label)


@style.context(STYLE)
def learning_curves(curves: pd.DataFrame, column: str, axis_label: str) -> Markup:
    """`curves` has the columns arm, seed, epoch and `column`; a thin line a seed, a thick one for their mean."""
    figure = Figure(figsize=_inches(WIDTH, 280), layout="constrained")
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
        axes.yaxis.set_major_formatter(_percent)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("epoch")
    figure.legend(loc="outside upper left", ncols=2, borderaxespad=0)
    ends = ", ".join(f"{arm} {means.iloc[-1]:.3f}" for arm, means in means_by_arm.items())
    return _svg(figure, column, f"{axis_label} by epoch for both arms; mean after the last epoch: {ends}.")


@style.context(STYLE)
def confusion_heatmap(counts_KK: np.ndarray) -> Markup:
    """Rows are true classes, columns predicted ones, by class index; the darker, the larger the share of its row."""
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    colours_KK4 = np.empty((*counts_KK.shape, 4))
    colours_KK4[..., :3] = to_rgb(HEATMAP_COLOUR)
    colours_KK4[..., 3] = shares_KK
    figure = Figure(figsize=_inches(WIDTH, WIDTH), layout="constrained")
    axes = figure.subplots()
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.imshow(colours_KK4, interpolation="none")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("predicted class, by index")
    axes.set_ylabel("true class, by index")
    label = f"Confusion matrix of {len(counts_KK)} classes; the tables beside it hold its main numbers."
    return _svg(figure, "confusion", label)


@style.context(STYLE)
def class_balance(counts: dict[str, dict[str, int]], classes: Sequence[str]) -> Markup:
    """`counts`: split -> class -> samples; one bar a class, stacked by split; of many classes the ends of the order."""
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
    label = "Samples a class: " + ", ".join(f"{name} {totals[name]}" for name in shown) + "."
    return _svg(figure, "balance", label)


@style.context(STYLE)
def source_probes(ranking: Sequence[SourceScore], chosen: str) -> Markup:
    """Probe accuracy of each source with its interval; the chosen one in colour."""
    return _sources_forest(
        {score.name: score.probe for score in ranking},
        chosen,
        "probes",
        "cross-validated accuracy of the probe",
        lambda value: f"{100 * value:.1f} %",
    )


@style.context(STYLE)
def source_trials(ranking: Sequence[SourceScore], chosen: str) -> Markup:
    """Loss after short fine-tuning of each source that got so far, with its interval; the chosen one in colour."""
    return _sources_forest(
        {score.name: score.trial.loss for score in ranking if score.trial},
        chosen,
        "trials",
        "held-out loss, nats (less is better)",
        lambda value: f"{value:.3f}",
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
    return _svg(figure, name, f"{axis_label}: {listed}. Chosen: {chosen}.")


@style.context(STYLE)
def cost_against_accuracy(ranking: Sequence[SourceScore], chosen: str) -> Markup:
    """What a source costs in use against what it was found to do: up and to the left is better."""
    figure = Figure(figsize=_inches(WIDTH, 300), layout="constrained")
    axes = figure.subplots()
    for score in ranking:
        colour = ACCENT if score.name == chosen else OTHER
        face = SURFACE if score.dropped else colour
        found = _found(score)
        axes.plot([score.gflops], [found], "D", color=colour, markerfacecolor=face, markersize=8)
        axes.annotate(
            _shortened(score.name), (score.gflops, found), (0, 9), textcoords="offset points", ha="center",
            color=colour if score.name == chosen else MUTED,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(0.22, 0.18)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(_percent)
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("GFLOPs a picture")
    axes.set_ylabel("accuracy", color=MUTED)
    label = ", ".join(f"{score.name} {score.gflops:.2g} GFLOPs {_found(score):.1%}" for score in ranking)
    return _svg(figure, "cost", f"Cost against accuracy: {label}.")


def _found(score: SourceScore) -> float:
    """Accuracy after short fine-tuning, or of the probe where it did not get so far."""
    return score.trial.accuracy if score.trial else score.probe.mean


def _rows_plot(names: Sequence[str], *, has_legend: bool = False) -> tuple[Figure, Axes]:
    """Axes with one named row an entry, the first on top."""
    height = ROW_HEIGHT * (len(names) + 2 + has_legend)
    figure = Figure(figsize=_inches(WIDTH, height), layout="constrained")
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
    """Numbers on the right, where a second axis would be."""
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(labels)), labels)
    beside.tick_params(length=0)
    beside.spines[:].set_visible(False)


def _svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an <svg> element whose ids begin with `name`, and which screen readers call `label`."""
    target = io.StringIO()
    with warnings.catch_warnings():
        # the reader's browser brings its own fonts
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(target, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    _, svg_tag, content = re.split(r"(<svg [^>]*>)", target.getvalue(), maxsplit=1)
    content = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", content, flags=re.DOTALL)
    content = re.sub(r"<[^>]+>", lambda tag: _for_page(tag.group(), name), content)
    view_box = re.findall(r'viewBox="[^"]*"', svg_tag)[0]
    return Markup(f'<svg role="img" aria-label="{escape(label)}" {view_box}>{content}')


def _for_page(tag: str, name: str) -> str:
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    for colour, variable in CSS_COLOURS.items():
        tag = tag.replace(colour, variable)
    return tag


def _percent(share: float, _: float) -> str:
    return f"{100 * share:.4g} %"


def _inches(width: float, height: float) -> tuple[float, float]:
    return width / POINTS_PER_INCH, height / POINTS_PER_INCH


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def _listing(values: Sequence[float], pattern: str) -> str:
    return ", ".join(f"{value:{pattern}}" for value in values)
