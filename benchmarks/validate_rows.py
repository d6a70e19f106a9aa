"""Cost of validating a large manifest: `python -m benchmarks.validate_rows`.

Each size runs in a separate process, with the shipped expectations.yaml and an accepted run to compare with.
Measured 2026-11-22, 2 shared cores of an AMD EPYC, Great Expectations 1.24.1 (its import costs 2 to 4 s more):
10,000 rows in 1.5 s at a peak of 0.34 GB; 1,000,000 rows in 6.3 to 11.5 s at a peak of 1.5 GB. With every row breaking
nine expectations: 6.8 s.
"""

import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

PROJECT = Path(__file__).parents[1]
SIZES = [10_000, 1_000_000]
CLASSES = np.array(["cat", "dog", "fox", "hen", "owl"])
DUPLICATE_COLUMNS = ["path_a", "path_b", "label_a", "label_b", "split_a", "split_b", "kind", "similarity"]


def synthetic_manifest(num_rows: int, seed: int) -> pd.DataFrame:
    """Manifest with rows as written by ingest: groups of four, one file in 5,000 quarantined, one in 100 a duplicate
    set aside."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(num_rows)
    shares = rng.random(num_rows // 4 + 1)[numbers // 4]
    paths = pd.Series([f"images/{number:07}.png" for number in numbers], dtype="str")
    broken, copies = numbers % 5_000 == 4_999, numbers % 100 == 99
    status = np.where(broken, "truncated: image file is truncated (12 bytes not processed)", "ok")
    splits = np.select([broken, shares < 0.25, shares < 0.35], ["", "test", "validation"], "train")
    return pd.DataFrame(
        {
            "sample_id": [f"{number:064x}" for number in np.where(copies, numbers - 1, numbers)],
            "path": paths,
            "label": CLASSES[rng.integers(0, len(CLASSES), num_rows)],
            "group": [f"series {number}" for number in numbers // 4],
            "domain": "",
            "weight": 1.0,
            "split": splits,
            "width": rng.integers(200, 801, num_rows).astype("int32"),
            "height": rng.integers(200, 601, num_rows).astype("int32"),
            "mode": np.where(rng.random(num_rows) < 0.3, "L", "RGB"),
            "format": "PNG",
            "num_bytes": rng.integers(10_000, 90_000, num_rows),
            "brightness": rng.beta(4, 4, num_rows).astype("float32"),
            "sharpness": rng.gamma(4, 3, num_rows).astype("float32"),
            "perceptual_hash": [f"{number * 2654435761 % 2**64:064x}" for number in range(num_rows)],
            "duplicate_of": paths.shift(1).where(copies, "").fillna(""),
            "status": np.where(copies & ~broken, "duplicate", status),
        }
    )


def write_artifacts(folder: Path, manifest: pd.DataFrame) -> None:
    """Writes manifest.parquet and a duplicates.csv with the exact copies."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    copies = manifest[manifest["status"] == "duplicate"]
    duplicates = pd.DataFrame(
        {"path_a": copies["duplicate_of"], "path_b": copies["path"], "label_a": copies["label"],
         "label_b": copies["label"], "split_a": copies["split"], "split_b": copies["split"], "kind": "exact",
         "similarity": 1.0},
        columns=DUPLICATE_COLUMNS,
    )  # fmt: skip
    duplicates.to_csv(folder / "duplicates.csv", index=False)


def validate_once(folder: Path) -> str:
    from graft.validation.change import load_accepted
    from graft.validation.expectations import expect
    from graft.validation.great_expectations import great_expectations
    from graft.validation.suite import load_suite

    started_s = time.perf_counter()
    great_expectations()
    imported_s = time.perf_counter()
    suite_path = PROJECT / "expectations.yaml"
    findings = expect(
        load_suite(suite_path),
        suite_path=suite_path,
        manifest_path=folder / "manifest.parquet",
        duplicates_path=folder / "duplicates.csv",
        accepted=load_accepted(folder / "accepted_data.json"),
        change_alpha=0.01,
        min_psi=0.1,
        docs_dir=folder / "data_docs",
    )
    ended_s = time.perf_counter()
    findings.summary.save(folder / "accepted_data.json")
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    broken = [item.sentence for item in findings.all_expectations if not item.passed]
    return (
        f"{findings.summary.num_samples:,} usable; import {imported_s - started_s:.1f} s, "
        f"validate {ended_s - imported_s:.1f} s, peak {peak_gb:.2f} GB; broken: {broken}"
    )


def main() -> None:
    if len(sys.argv) > 1:
        print(validate_once(Path(sys.argv[1])))
        return
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    print(f"{os.cpu_count()} cores of {processor and processor.group(1)}, Python {platform.python_version()}")
    for num_rows in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write_artifacts(Path(folder), synthetic_manifest(num_rows, seed=0))
            for run in ("no accepted run", "compared with the first run"):
                command = [sys.executable, "-m", "benchmarks.validate_rows", folder]
                print(f"{num_rows:,} rows, {run}: " + subprocess.check_output(command, text=True, cwd=PROJECT).strip())


if __name__ == "__main__":
    main()
