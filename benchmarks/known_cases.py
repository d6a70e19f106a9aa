"""Cases with a known verdict, end to end on real images.

    python -m benchmarks.known_cases --out DIR                  # 25 minutes on 2 cores
    python -m benchmarks.known_cases --out DIR shuffled         # one of them; only DIR/shuffled is written

Each case (benchmarks/cases.py) is a project folder of its own, DIR/NAME, in which the whole pipeline runs (`dvc
repro`) on the code of this checkout. The weights of a case are made on the spot, with fixed seeds
(benchmarks/case_weights.py), and are used as any weights of one's own: with an entry in its sources.yaml, of the scheme
`file`, with their sha256. Params of a case are changes to the project's params.yaml. If DIR/NAME already exists, only
stale stages run again; the seconds stay those of the first run.

Writes docs/known_cases.csv, docs/known_cases.md and its images (benchmarks/case_gallery.py). The tests of tier `slow`
check the same cases against the expected verdicts.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from benchmarks.case_weights import Target
from benchmarks.cases import CASES, CLASSES, Case, Series
from benchmarks.choice_tasks import read_dataset
from benchmarks.params_changes import Changes, merged
from graft.core.arms import ARMS
from graft.core.artifacts import PAIR_PREDICTIONS, Interval
from graft.core.files import sha256_of_file
from graft.hub.catalogue import load_catalogue
from graft.networks.backbones import Classifier
from graft.project import Project
from graft.transfer.compare import Comparison, compare
from graft.transfer.predictions import paired_correct
from graft.transfer.verdict import Verdict

PROJECT = Path(__file__).parents[1]
NOT_OF_A_CASE = (".dvc", "benchmarks", "data.dvc", "docs", "tests")
"""Parts of the project that a case does not need; the rest is copied, without git."""


def run_case(case: Case, folder: Path) -> Verdict:
    """Runs the whole pipeline in the case's project folder, which is created if it does not exist.

    Raises:
        RuntimeError: a stage failed; the message has its output.
    """
    make_project([case], folder, {})
    _succeed(folder, "dvc", "repro")
    return Verdict.load(folder / "artifacts" / "verdict.json")


def make_project(cases: Sequence[Case], folder: Path, changes: Changes) -> None:
    """Creates a project with the images and params of the first case, and the weights of all as candidates.

    Args:
        folder: folder of the project; data, weights and `.dvc` that exist are kept.
        changes: changes to the params.
    """
    _copy_code(folder)
    if not (folder / "data").exists():
        write_data(cases[0], folder / "data")
    for case in cases:
        _write_source(case, folder)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    candidates = {"candidates": [case.source_name for case in cases]}
    params = merged(params, {"select": candidates}, cases[0].params, changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    if not (folder / ".dvc").exists():
        _succeed(folder, "dvc", "init", "--quiet", "--no-scm")


def _copy_code(folder: Path) -> None:
    """Copies the code of this checkout, whether committed or not."""
    listed = _succeed(PROJECT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if Path(name).parts[0] not in NOT_OF_A_CASE and (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)


def write_data(case: Case, folder: Path) -> None:
    """Writes the images of the case, and their labels.csv."""
    images = _drawn(case)
    folder.mkdir(parents=True)
    rows = []
    for number, image in enumerate(images):
        path = f"{number:04}.png"
        Image.fromarray(image.pixels_HW).save(folder / path)
        row = {"path": path, "label": CLASSES[case.dataset][image.label], "split": image.split}
        rows.append(row | {"group": image.group} if case.series is not None else row)
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


@dataclass(frozen=True)
class _Drawn:
    pixels_HW: np.ndarray
    """Grey image."""
    label: int
    """Class index, 0..K-1."""
    split: str
    group: str
    """Image of the data set, whole or of which this is a crop."""


def _drawn(case: Case) -> list[_Drawn]:
    """Images of the case, or crops of these; the same in every call."""
    sizes = {"test": case.num_test, "validation": case.num_validation, "train": case.num_train}
    images_NHW, labels_N = read_dataset(case.dataset)
    order = np.random.default_rng(0).permutation(len(labels_N))[: sum(sizes.values())]
    splits = [split for split, size in sizes.items() for _ in range(size)]
    return [
        _Drawn(pixels_HW, int(labels_N[index]), split, f"{case.dataset}_{index:04}")
        for index, split in zip(order, splits, strict=True)
        for pixels_HW in _crops(images_NHW[index], case.series)
    ]


def _crops(image_HW: np.ndarray, series: Series | None) -> list[np.ndarray]:
    """Crops of one image, row by row; the image itself if there is no series."""
    if series is None:
        return [image_HW]
    tops, lefts = (np.linspace(0, side - series.crop_px, series.crops_per_side).astype(int) for side in image_HW.shape)
    return [image_HW[top : top + series.crop_px, left : left + series.crop_px] for top in tops for left in lefts]


def _write_source(case: Case, folder: Path) -> None:
    """Writes the entry of the case's own weights, which are made if they do not exist."""
    if case.make_weights is None:
        return
    path = folder / "weights" / f"{case.name}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        source = load_catalogue(PROJECT / "sources.yaml")[case.source]
        backbone = case.make_weights(source, _target(case))
        tensors = Classifier(backbone, num_classes=2, dropout=0).state_dict()  # the head's are not used
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    entry = yaml.safe_load((PROJECT / "sources.yaml").read_text())[case.source]
    entry |= {
        "description": f"{case.source}: {case.description}",
        "trained_on": {"task": "none", "domain": "none", "dataset": case.name, "num_classes": None},
        "imagenet_top1": None,
        "weights": {"scheme": "file", "path": str(path.relative_to(folder)), "sha256": sha256_of_file(path)},
    }
    with (folder / "sources.yaml").open("a") as catalogue:
        catalogue.write("\n" + yaml.safe_dump({case.source_name: entry}, sort_keys=False))


def _target(case: Case) -> Target:
    train = [image for image in _drawn(case) if image.split == "train"]
    return Target(
        [torch.tensor(image.pixels_HW, dtype=torch.float32) for image in train],
        torch.tensor([image.label for image in train]),
        case.params["inputs"]["image_size_px"],
    )


def _succeed(folder: Path, *command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": ""}, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed in {folder}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def compared_without_groups(folder: Path, verdict: Verdict) -> Comparison:
    """Comparison without named groups: the same predictions and level, each item independent.

    Args:
        folder: the case's project folder, in which the pipeline has run.
    """
    project = Project(folder)
    added = pd.read_parquet(project.path(PAIR_PREDICTIONS))
    of_arms = [
        pd.concat([pd.read_parquet(project.path(files.predictions)), added[added["arm"] == arm]])
        for arm, files in ARMS.items()
    ]
    rows = sorted(verdict.seeds)
    return compare(
        *paired_correct(*of_arms),
        groups_N=None,
        margin_points=verdict.margin_points,
        alpha=verdict.level,
        shipped=(
            rows.index(verdict.scores["transfer"].shipped_seed),
            rows.index(verdict.scores["baseline"].shipped_seed),
        ),
    )


def row_of(case: Case, verdict: Verdict, seconds: int, folder: Path) -> dict[str, Any]:
    """Row of docs/known_cases.csv; for images in series, it includes the intervals without named groups."""
    gain = verdict.gain_points
    row = {
        "case": case.name, "expected": case.expected, "verdict": verdict.verdict,
        "gain_points": round(gain.mean, 2), "low": round(gain.low, 2), "high": round(gain.high, 2),
        "transfer_accuracy": round(verdict.scores["transfer"].accuracy.mean, 4),
        "baseline_accuracy": round(verdict.scores["baseline"].accuracy.mean, 4),
        "seeds": verdict.num_seeds, "test_items": verdict.num_test, "seconds": seconds,
    }  # fmt: skip
    if case.series is None:
        return row
    ungrouped = compared_without_groups(folder, verdict)
    shipped, ungrouped_shipped = verdict.shipped_gain_points, ungrouped.shipped_gain_points
    assert ungrouped_shipped is not None  # the shipped seeds were named
    return row | {
        "test_groups": verdict.num_units,
        "ungrouped_verdict": ungrouped.verdict,
        "ungrouped_low": round(ungrouped.gain_points.low, 2), "ungrouped_high": round(ungrouped.gain_points.high, 2),
        "times_wider": round(width(gain) / width(ungrouped.gain_points), 2),
        "shipped_points": round(shipped.mean, 2),
        "shipped_low": round(shipped.low, 2), "shipped_high": round(shipped.high, 2),
        "ungrouped_shipped_low": round(ungrouped_shipped.low, 2),
        "ungrouped_shipped_high": round(ungrouped_shipped.high, 2),
        "shipped_times_wider": round(width(shipped) / width(ungrouped_shipped), 2),
    }  # fmt: skip


def width(interval: Interval) -> float:
    return interval.high - interval.low


def _seconds_of(folder: Path, measured: float) -> int:
    """Duration of the first run, in seconds; later runs only repeat stale stages."""
    path = folder / "seconds.txt"
    if not path.exists():
        path.write_text(f"{measured:.0f}")
    return int(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    parser.add_argument("--out", type=Path, required=True, help="folder for the projects of the cases")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {case.name for case in CASES}:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    rows, unexpected = [], []
    for case in CASES:
        if arguments.names and case.name not in arguments.names:
            continue
        started = time.monotonic()
        verdict = run_case(case, arguments.out / case.name)
        seconds = _seconds_of(arguments.out / case.name, time.monotonic() - started)
        row = row_of(case, verdict, seconds, arguments.out / case.name)
        rows.append(row)
        unexpected += [case.name] if verdict.verdict not in case.allowed else []
        print(
            f"{case.name}: expected {case.expected}; {verdict.verdict}, {verdict.gain_points.in_points}, "
            f"{verdict.num_seeds} seeds x {verdict.num_test:,} items, {seconds} s",
            flush=True,
        )
        if case.series is not None:
            print(
                f"  in {row['test_groups']} groups; without them the interval would be [{row['ungrouped_low']:+.1f}, "
                f"{row['ungrouped_high']:+.1f}]: it is {row['times_wider']} times as wide, and that of the models that "
                f"would be exported {row['shipped_times_wider']} times",
                flush=True,
            )
    if not arguments.names:
        from benchmarks.case_gallery import write_gallery  # matplotlib is for the gallery alone

        write_gallery(pd.DataFrame(rows).astype({"test_groups": "Int64"}), CASES, arguments.out, PROJECT / "docs")
    if unexpected:
        sys.exit(f"not the expected verdict: {', '.join(unexpected)}")


if __name__ == "__main__":
    main()
