"""ingest: data/ -> manifest.parquet, quarantine.csv, duplicates.csv, profile.json"""

from pathlib import Path

from graft.artifacts import Profile
from graft.config import Params
from graft.data.build import Rules, build_manifest
from graft.data.profile import check_classes, check_quarantine
from graft.paths import data_index
from tasks.stage import ARTIFACTS, DATA, run_stage

DVC_CACHE = Path(".dvc/cache")
"""Where the files of data/ lie when DVC is told to link them (cache.type symlink)."""


def ingest(params: Params) -> None:
    rules = Rules(**params.ingest.model_dump(exclude={"max_quarantined_fraction"}))
    profile = build_manifest(DATA, ARTIFACTS, data_index(Path.cwd()), rules, linked=[DVC_CACHE])
    profile.save(ARTIFACTS / "profile.json")
    _print(profile)
    check_quarantine(profile, params.ingest.max_quarantined_fraction, params.ingest.accept)
    check_classes(profile)


def _print(profile: Profile) -> None:
    print(f"{profile.num_samples} samples of {len(profile.classes)} classes: {', '.join(profile.classes)}")
    for split, counts in profile.counts.items():
        print(f"  {split:10} {sum(counts.values()):6}  " + "  ".join(f"{name} {n}" for name, n in counts.items()))
    others = {
        "unlabelled": profile.num_unlabelled,
        "exact copies, set aside": profile.num_duplicates,
        "near duplicates of pictures in another split, set aside": profile.num_leaks,
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
    for note, number in profile.notes.items():
        print(f"  {number} used with a note: {note}")


if __name__ == "__main__":
    run_stage(ingest)
