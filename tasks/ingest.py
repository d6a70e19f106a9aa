"""ingest: data/ -> manifest.parquet, quarantine.csv, duplicates.csv, profile.json

splits.json (which splits earlier runs gave) is read and written too: see dvc.yaml.
"""

import subprocess
import sys
from pathlib import Path

from graft.core.artifacts import Profile
from graft.core.config import Params
from graft.core.paths import data_index
from graft.data.build import Rules, build_manifest
from graft.data.folders import files_below
from graft.data.profile import check_classes, check_quarantine
from graft.data.stratify import GivenSplits, SplitMemory
from graft.modalities import modality
from tasks.stage import ARTIFACTS, DATA, GIVEN_SPLITS, run_stage

DVC_CACHE = Path(".dvc/cache")
"""Where the files of data/ lie when DVC is told to link them (cache.type symlink), unless cache.dir says otherwise."""


def ingest(params: Params) -> None:
    kind = modality(params.inputs.modality, background=params.ingest.background)
    rules = Rules(**params.ingest.model_dump(exclude={"max_quarantined_fraction", "background"}))
    memory = SplitMemory.load(GIVEN_SPLITS)
    built = build_manifest(DATA, ARTIFACTS, data_index(Path.cwd()), kind, rules, memory, linked_folders(DATA))
    built.profile.save(ARTIFACTS / "profile.json")
    _print(built.profile)
    _print_splits(memory.given(rules.split_key), built.memory.given(rules.split_key), built.num_moved)
    check_quarantine(built.profile, params.ingest.max_quarantined_fraction, params.ingest.accept, kind)
    check_classes(built.profile, built.shortages)
    built.memory.save(GIVEN_SPLITS)


def linked_folders(data_dir: Path) -> list[Path]:
    """Folders that links in `data_dir` may lead into: DVC's caches. DVC is asked, at the price of a second, where there
    are links."""
    if not data_dir.is_dir() or not any((data_dir / path).is_symlink() for path in files_below(data_dir)):
        return [DVC_CACHE]
    answer = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    configured = answer.stdout.strip()
    return [DVC_CACHE, Path(configured)] if answer.returncode == 0 and configured else [DVC_CACHE]


def _print(profile: Profile) -> None:
    print(f"{profile.num_samples} samples of {len(profile.classes)} classes: {', '.join(profile.classes)}")
    for split, counts in profile.counts.items():
        print(f"  {split:10} {sum(counts.values()):6}  " + "  ".join(f"{name} {n}" for name, n in counts.items()))
    others = {
        "unlabelled": profile.num_unlabelled,
        "exact copies, set aside": profile.num_duplicates,
        "near duplicates of samples in another split, set aside": profile.num_leaks,
        "files that the table does not name, not used": profile.num_not_described,
        "quarantined (artifacts/quarantine.csv)": profile.num_quarantined,
    }
    for words, number in others.items():
        if number:
            print(f"  {number} {words}")
    for code, number in profile.quarantine_codes.items():
        print(f"    {number} {code}")
    for path, reason in list(profile.quarantined.items())[:10]:
        print(f"      {path!r}: {reason}")
    for note in profile.notes:
        print(f"  note: {note}")


def _print_splits(before: GivenSplits, now: GivenSplits, num_moved: int) -> None:
    if num_moved:
        print(f"  {num_moved} samples or groups moved to splits that were short of their class ({GIVEN_SPLITS})")
    if before.units and before.fractions != now.fractions:
        print(
            "  the shares of the splits have changed (ingest.test_fraction, ingest.validation_fraction, or what the "
            f"data themselves give): {len(before.units)} samples or groups of small classes keep the splits that they "
            f"were given; to split all anew, delete {GIVEN_SPLITS}"
        )


if __name__ == "__main__":
    run_stage(ingest)
