"""ingest: data/ -> manifest.parquet, profile.json"""

from graft.config import Params
from graft.data.manifest import build_manifest, check_manifest, profile_of
from graft.files import written_atomically
from tasks.stage import ARTIFACTS, DATA, run_stage


def ingest(params: Params) -> None:
    manifest = build_manifest(
        DATA,
        split_key=params.ingest.split_key,
        test_fraction=params.ingest.test_fraction,
        validation_fraction=params.ingest.validation_fraction,
    )
    check_manifest(manifest, max_quarantined_fraction=params.ingest.max_quarantined_fraction)
    profile = profile_of(manifest)
    with written_atomically(ARTIFACTS / "manifest.parquet") as temporary:
        manifest.to_parquet(temporary, index=False)
    profile.save(ARTIFACTS / "profile.json")
    print(f"{profile.num_samples} samples of {len(profile.classes)} classes: {', '.join(profile.classes)}")
    for split, counts in profile.counts.items():
        print(f"  {split:10} {sum(counts.values()):6}  " + "  ".join(f"{name} {n}" for name, n in counts.items()))
    for path, reason in list(profile.quarantined.items())[:10]:
        print(f"  quarantined: {path}: {reason}")


if __name__ == "__main__":
    run_stage(ingest)
