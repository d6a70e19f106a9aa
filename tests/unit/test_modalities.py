"""What ingest can do, it can do with samples that it knows nothing of: here, series of numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pictures import IMAGES, build_all
from toy_modality import SeriesModality

from graft.core.errors import NoDataError, ParamsError, QuarantineError
from graft.data.loading import load_samples
from graft.data.manifest import COMMON_COLUMNS, column_types, quarantined, read_manifest, usable_samples
from graft.data.profile import check_classes, check_quarantine
from graft.data.reading import remedies_of
from graft.data.splits import SPLITS
from graft.data.stratify import SplitMemory
from graft.modalities import modality

SERIES = SeriesModality()
NUM_PER_CLASS = 60


def _walk(seed: int) -> np.ndarray:
    """100 steps of a random walk: no two seeds look alike."""
    return np.random.default_rng(seed).normal(size=100).cumsum().astype(np.float32)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """120 walks of two classes, in a table that groups them by four; a copy, two near copies and six broken files."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    (folder / "series").mkdir(parents=True)
    rows = []
    for number in range(2 * NUM_PER_CLASS):
        label = "up" if number % 2 else "down"
        np.save(folder / "series" / f"{number}.npy", _walk(number))
        rows.append((f"series/{number}.npy", label, f"machine {number // 4}"))
    odd = {"copy": _walk(3), "near": 3 * _walk(5) + 7, "nearly": _walk(6) + np.float32(0.01)}
    broken = {"gaps": np.array([1, np.nan, 3]), "grid": np.zeros((3, 3)), "words": np.array(["a", "b"])}
    for name, values in {**odd, **broken}.items():
        np.save(folder / "series" / f"{name}.npy", values)
    (folder / "series" / "text.npy").write_text("I am no series")
    (folder / "series" / "cut.npy").write_bytes((folder / "series" / "0.npy").read_bytes()[:-50])
    (folder / "series" / "nothing.npy").touch()
    rows += [(f"series/{name}.npy", "up", "") for name in [*odd, *broken, "text", "cut", "nothing"]]
    pd.DataFrame(rows, columns=["path", "label", "group"]).to_csv(folder / "labels.csv", index=False)
    return folder


def test_a_folder_of_an_unknown_kind_of_sample_becomes_a_manifest_with_splits(data_dir: Path) -> None:
    built = build_all(data_dir, modality=modality(SERIES.name), near_duplicate_similarity=0.999)
    manifest = read_manifest(data_dir.parent / "artifacts" / "manifest.parquet")
    assert list(manifest.columns) == list(column_types(SERIES))
    assert set(manifest.columns) - set(COMMON_COLUMNS) == {"num_values", "mean", "kind"}
    usable = usable_samples(manifest)
    assert set(usable["num_values"]) == {100}
    assert np.allclose(usable.set_index("path").loc["series/8.npy", "mean"], _walk(8).mean())
    assert (usable.groupby("group")["split"].nunique()[lambda splits: splits.index != ""] == 1).all()
    assert set(usable["split"]) == set(SPLITS)
    check_classes(built.profile, built.shortages)
    assert built.profile.classes == ["down", "up"]


def test_exact_and_near_duplicates_of_an_unknown_kind_are_found(data_dir: Path) -> None:
    build_all(data_dir, modality=SERIES, near_duplicate_similarity=0.999)
    manifest = read_manifest(data_dir.parent / "artifacts" / "manifest.parquet").set_index("path")
    joined = manifest[manifest["duplicate_of"] != ""]["duplicate_of"].to_dict()
    expected = {
        "series/copy.npy": "series/3.npy",
        "series/near.npy": "series/5.npy",
        "series/nearly.npy": "series/6.npy",
    }
    assert joined == expected
    pairs = pd.read_csv(data_dir.parent / "artifacts" / "duplicates.csv").query("kind != 'alike'")
    named = dict(zip(zip(pairs["path_a"], pairs["path_b"], strict=True), pairs["kind"], strict=True))
    kinds = {"copy": "exact", "near": "near", "nearly": "near"}
    assert named == {tuple(sorted(pair)): kinds[Path(pair[0]).stem] for pair in expected.items()}
    used = manifest[manifest["status"] == "ok"]
    clusters = used["duplicate_of"].where(used["duplicate_of"] != "", used.index.to_series())
    assert (used.groupby(clusters)["split"].nunique() == 1).all()


def test_broken_files_of_an_unknown_kind_are_quarantined_with_its_own_remedies(data_dir: Path) -> None:
    profile = build_all(data_dir, modality=SERIES).profile
    table = pd.read_csv(data_dir.parent / "artifacts" / "quarantine.csv").set_index("path")
    reasons = table["reason"].str.partition(":")[0]
    assert reasons.to_dict() == {
        "series/cut.npy": "damaged", "series/gaps.npy": "gaps", "series/grid.npy": "not_a_series",
        "series/nothing.npy": "empty", "series/text.npy": "damaged", "series/words.npy": "not_a_series",
    }  # fmt: skip
    assert table["what_to_do"].tolist() == [remedies_of(SERIES)[code] for code in reasons]
    manifest = read_manifest(data_dir.parent / "artifacts" / "manifest.parquet").set_index("path")
    assert manifest.loc["series/gaps.npy", ["num_values", "mean"]].tolist() == [3, 0]  # as far as reading came
    with pytest.raises(QuarantineError, match="save one row of numbers per file"):
        check_quarantine(profile, 0.01, [], SERIES)


def test_what_an_unknown_kind_lets_in_is_used_and_remarked_upon(data_dir: Path) -> None:
    np.save(data_dir / "series" / "7.npy", np.arange(5))
    profile = build_all(data_dir, modality=SERIES, accept=["gaps"]).profile
    manifest = read_manifest(data_dir.parent / "artifacts" / "manifest.parquet")
    assert "series/gaps.npy" not in set(quarantined(manifest)["path"])
    assert profile.notes == ["1 curve(s): whole numbers"]


def test_the_index_is_of_one_kind_of_sample_at_a_time(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.data.index.SETTLED_NS", 0)
    artifacts = data_dir.parent / "artifacts"
    build_all(data_dir, modality=SERIES)
    first = (artifacts / "manifest.parquet").read_bytes()
    build_all(data_dir, modality=IMAGES)  # which takes none of these for an image
    assert (quarantined(read_manifest(artifacts / "manifest.parquet"))["split"] == "").sum() == 2 * NUM_PER_CLASS + 9
    build_all(data_dir, modality=SERIES)
    assert (artifacts / "manifest.parquet").read_bytes() == first


def test_folders_of_an_unknown_kind_are_classes_by_its_suffixes(data_dir: Path) -> None:
    (data_dir / "labels.csv").unlink()
    (data_dir / "notes.npz").touch()
    np.save(data_dir / "loose.npy", _walk(500))
    profile = build_all(data_dir, modality=SERIES).profile
    assert (profile.classes, profile.num_unlabelled) == (["series"], 1)
    for path in data_dir.rglob("*.npy"):
        path.unlink()
    with pytest.raises(NoDataError, match=r"one folder per class with samples in it \(\.npy\)"):
        build_all(data_dir, SplitMemory(by_key={}), SERIES)


def test_samples_of_an_unknown_kind_are_loaded_at_one_size_and_kept(data_dir: Path) -> None:
    build_all(data_dir, modality=SERIES)
    samples = usable_samples(read_manifest(data_dir.parent / "artifacts" / "manifest.parquet"))
    exact_N1S = load_samples(data_dir, samples, SERIES, 50, exact=True)
    position = samples["path"].tolist().index("series/8.npy")
    torch.testing.assert_close(exact_N1S[[position]], SERIES.inputs(50).fit(torch.from_numpy(_walk(8))[None]))
    rounded_N1S = load_samples(data_dir, samples, SERIES, 50)
    assert torch.equal(rounded_N1S, exact_N1S.half())
    assert len(list((data_dir.parent / "cache" / "rows").glob("50values-*/*.safetensors"))) == 1
    assert torch.equal(load_samples(data_dir, samples, SERIES, 50), rounded_N1S)


def test_a_modality_is_found_by_its_name_or_its_place() -> None:
    assert modality("image", background="#000000") == type(IMAGES)("#000000")
    assert modality("toy_modality:SeriesModality") == SERIES


@pytest.mark.parametrize("name", ["imgae", "", "toy_modality:Nothing", "no_such_module:Thing"])
def test_a_modality_that_cannot_be_found_is_named(name: str) -> None:
    with pytest.raises(ParamsError, match=name or "''"):
        modality(name)


def test_a_modality_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys, graft.modalities, graft.data.build; print({'PIL', 'torch'} & set(sys.modules))\n"
        "graft.modalities.modality('image'); print({'PIL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "{'PIL'}"]
