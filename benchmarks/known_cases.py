"""Cases of which it is known what the verdict must be, end to end on real pictures.

    python -m benchmarks.known_cases --out DIR                  # 20 minutes on 2 cores
    python -m benchmarks.known_cases --out DIR shuffled         # one of them; nothing is written but DIR/shuffled

Each case (benchmarks/cases.py) is a project folder of its own, DIR/NAME, in which the whole pipeline runs (`dvc
repro`) on the code that lies here. The weights of a case are made here and now, by fixed seeds
(benchmarks/case_weights.py), and get into it as any weights of one's own do: an entry in its sources.yaml, of the
scheme `file`, with their sha256. Params of a case are changes to the project's params.yaml. Where DIR/NAME is there
already, only what is stale runs again; the seconds stay those of the first time.

Writes docs/known_cases.csv, docs/known_cases.md and the pictures in it (benchmarks/case_gallery.py). The tests of tier
`slow` hold the same cases against what must come.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from benchmarks.case_weights import Target
from benchmarks.cases import CASES, CLASSES, Case, Changes, merged
from benchmarks.choice_tasks import read_dataset
from graft.files import sha256_of_file
from graft.hub.backbones import Classifier
from graft.hub.catalogue import load_catalogue
from graft.transfer.verdict import Verdict

PROJECT = Path(__file__).parents[1]
NOT_OF_A_CASE = (".dvc", "benchmarks", "data.dvc", "docs", "tests")
"""Of the project; the rest is copied, without git."""


def run_case(case: Case, folder: Path) -> Verdict:
    """The whole pipeline in the case's project folder, which is made if it is not there.

    Raises:
        RuntimeError: a stage failed; with what it said.
    """
    make_project([case], folder, {})
    _succeed(folder, "dvc", "repro")
    return Verdict.load(folder / "artifacts" / "verdict.json")


def make_project(cases: Sequence[Case], folder: Path, changes: Changes) -> None:
    """A project with the pictures and params of the first case, and with the weights of all as candidates.

    Args:
        folder: where data, weights and `.dvc` are there already, they stay.
        changes: of the params.
    """
    _copy_code(folder)
    if not (folder / "data").exists():
        _write_data(cases[0], folder / "data")
    for case in cases:
        _write_source(case, folder)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    candidates = {"candidates": [case.source_name for case in cases]}
    params = merged(params, {"select": candidates}, cases[0].params, changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    if not (folder / ".dvc").exists():
        _succeed(folder, "dvc", "init", "--quiet", "--no-scm")


def _copy_code(folder: Path) -> None:
    """As it lies here, whether committed or not."""
    listed = _succeed(PROJECT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if Path(name).parts[0] not in NOT_OF_A_CASE and (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)


def _write_data(case: Case, folder: Path) -> None:
    pictures_NHW, labels_N, splits = _drawn(case)
    folder.mkdir(parents=True)
    rows = []
    for number, (picture_HW, label, split) in enumerate(zip(pictures_NHW, labels_N, splits, strict=True)):
        Image.fromarray(picture_HW).save(folder / f"{number:04}.png")
        rows.append({"path": f"{number:04}.png", "label": CLASSES[case.dataset][label], "split": split})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def _drawn(case: Case) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Grey pictures [N, H, W], labels [N], 0..K-1, and splits: always the same."""
    sizes = {"test": case.num_test, "validation": case.num_validation, "train": case.num_train}
    pictures_NHW, labels_N = read_dataset(case.dataset)
    drawn = np.random.default_rng(0).permutation(len(labels_N))[: sum(sizes.values())]
    return pictures_NHW[drawn], labels_N[drawn], [split for split, size in sizes.items() for _ in range(size)]


def _write_source(case: Case, folder: Path) -> None:
    """The entry of the case's own weights, which are made if they are not there."""
    if case.make_weights is None:
        return
    path = folder / "weights" / f"{case.name}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        source = load_catalogue(PROJECT / "sources.yaml")[case.source]
        backbone = case.make_weights(source, _target(case))
        tensors = Classifier(backbone, num_classes=2, dropout=0).state_dict()  # the head's are not looked at
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    entry = yaml.safe_load((PROJECT / "sources.yaml").read_text())[case.source]
    entry |= {
        "description": f"{case.source}: {case.told}",
        "trained_on": {"task": "none", "domain": "none", "dataset": case.name, "num_classes": None},
        "imagenet_top1": None,
        "weights": {"scheme": "file", "path": str(path.relative_to(folder)), "sha256": sha256_of_file(path)},
    }
    with (folder / "sources.yaml").open("a") as catalogue:
        catalogue.write("\n" + yaml.safe_dump({case.source_name: entry}, sort_keys=False))


def _target(case: Case) -> Target:
    pictures_NHW, labels_N, splits = _drawn(case)
    train = np.array(splits) == "train"
    return Target(
        [torch.tensor(picture_HW, dtype=torch.float32) for picture_HW in pictures_NHW[train]],
        torch.tensor(labels_N[train]),
        case.params["arms"]["image_size_px"],
    )


def _succeed(folder: Path, *command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": ""}, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed in {folder}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def row_of(case: Case, verdict: Verdict, seconds: int) -> dict[str, Any]:
    """One of docs/known_cases.csv."""
    gain = verdict.gain_points
    return {
        "case": case.name, "expected": case.expected, "verdict": verdict.verdict,
        "gain_points": round(gain.mean, 2), "low": round(gain.low, 2), "high": round(gain.high, 2),
        "transfer_accuracy": round(verdict.scores["transfer"].accuracy.mean, 4),
        "scratch_accuracy": round(verdict.scores["scratch"].accuracy.mean, 4),
        "seeds": verdict.num_seeds, "test_items": verdict.num_test, "seconds": seconds,
    }  # fmt: skip


def _seconds_of(folder: Path, measured: float) -> int:
    """Of the first time: a later one runs but what is stale."""
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
    rows, surprises = [], []
    for case in CASES:
        if arguments.names and case.name not in arguments.names:
            continue
        started = time.monotonic()
        verdict = run_case(case, arguments.out / case.name)
        seconds = _seconds_of(arguments.out / case.name, time.monotonic() - started)
        rows.append(row_of(case, verdict, seconds))
        surprises += [case.name] if verdict.verdict not in case.allowed else []
        print(
            f"{case.name}: expected {case.expected}; {verdict.verdict}, {verdict.gain_points.in_points}, "
            f"{verdict.num_seeds} seeds x {verdict.num_test:,} items, {seconds} s",
            flush=True,
        )
    if not arguments.names:
        from benchmarks.case_gallery import write_gallery  # matplotlib is for the gallery alone

        write_gallery(pd.DataFrame(rows), CASES, arguments.out, PROJECT / "docs")
    if surprises:
        sys.exit(f"not what must come: {', '.join(surprises)}")


if __name__ == "__main__":
    main()
