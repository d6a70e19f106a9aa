"""The look at the data, on real cells. `finished` has been through `dvc repro`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, run_stages, stage_fails

from benchmarks.label_suspicion import features_of, found_fraction, ranked_samples
from graft.core.params_file import load_params
from graft.core.paths import user_cache
from graft.data.manifest import read_manifest, usable_samples
from graft.hub.catalogue import load_catalogue
from graft.inspection.result import Inspection
from graft.selection.subsample import subsample

CopyOf = Callable[[Path], Path]


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the user's downloads and no features."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("packages", "weights"):
        (cache / name).symlink_to(user_cache().absolute() / name)
    monkeypatch.setenv("GRAFT_CACHE", str(cache))
    return cache


def test_the_first_tenth_of_the_list_holds_half_of_the_labels_that_were_flipped(elpv: Path) -> None:
    params = load_params(PROJECT / "params.yaml")
    samples = subsample(ranked_samples(elpv, params), max_samples=600, min_per_class=5)
    features_ND = features_of(load_catalogue(PROJECT / "sources.yaml")["efficientnet_lite0"], samples, elpv)
    found = [found_fraction(samples, features_ND, params, seed) for seed in range(5)]
    assert np.mean(found) >= 0.5, found


def test_inspect_lists_training_and_validation_pictures_alone(finished: Path) -> None:
    artifacts = finished / "artifacts"
    suspects = pd.read_csv(artifacts / "suspects.csv", keep_default_na=False)
    inspection = Inspection.load_verified(artifacts, "inspection.json")
    manifest = read_manifest(artifacts / "manifest.parquet").set_index("path")
    assert list(suspects.columns) == [
        "kind", "rank", "sample_id", "path", "label", "suggested_label", "score", "words",
    ]  # fmt: skip
    assert [found.kind for found in inspection.lists] == ["label", "outlier", "dark", "bright", "blurry"]
    assert suspects["kind"].value_counts().to_dict() == {found.kind: found.num_listed for found in inspection.lists}
    assert {found.num_listed for found in inspection.lists} == {50}
    assert set(manifest.loc[suspects["path"], "split"]) == {"train", "validation"}
    assert inspection.num_embedded == inspection.num_samples == (manifest["split"] != "test").sum()
    first = suspects[suspects["kind"] == "label"].iloc[0]
    assert first["suggested_label"] not in {"", first["label"]}


@pytest.mark.parametrize("stage", ["select", "inspect"])
def test_a_changed_picture_stops_a_stage_that_has_its_features_cached(
    finished: Path, copy_of: CopyOf, stage: str
) -> None:
    project = copy_of(finished)
    params = load_params(project / "params.yaml").select
    train = usable_samples(read_manifest(project / "artifacts" / "manifest.parquet"), "train")
    victim = project / "data" / subsample(train, params.max_samples, params.num_folds)["path"].iloc[0]
    content = bytearray(victim.read_bytes())
    content[-30] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    assert victim.name in stage_fails(project, stage)


def test_a_flipped_byte_in_the_feature_cache_is_mended_to_the_same_lists(
    finished: Path, copy_of: CopyOf, fresh_cache: Path
) -> None:
    project = copy_of(finished)
    run_stages(project, "inspect")
    whole = (project / "artifacts" / "suspects.csv").read_bytes()
    shard = next((fresh_cache / "features").rglob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    said = run_stages(project, "inspect")
    assert f"{shard} is damaged, written by somebody else, or made from something else; it is computed again" in said
    assert (project / "artifacts" / "suspects.csv").read_bytes() == whole
