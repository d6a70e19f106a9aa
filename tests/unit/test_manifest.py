"""Describing, reading, splitting and checking a user's pictures."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import IMAGES, NOTHING_GIVEN, build, build_all, build_profile, folder_of_classes, save_noise

from graft.core.errors import ClassesError, ContentChangedError, LabelsError, NoDataError, QuarantineError
from graft.data.describe import DescribedSample, describe_samples
from graft.data.images import load_images
from graft.data.leakage import Member, judge
from graft.data.manifest import column_types, quarantined, read_manifest, unlabelled_samples, usable_samples
from graft.data.profile import check_classes, check_quarantine
from graft.data.reading import read_sample
from graft.data.splits import SPLITS, split_of
from graft.modalities.base import Reading
from graft.modalities.image.reading import SUFFIXES

FRACTIONS = {"test_fraction": 0.25, "validation_fraction": 0.1}


def _described(data_dir: Path) -> list[DescribedSample]:
    return sorted(describe_samples(data_dir, SUFFIXES))


def test_a_folder_a_class_is_read(tmp_path: Path) -> None:
    described = _described(folder_of_classes(tmp_path / "data", 3))
    assert [sample.label for sample in described] == ["cat"] * 3 + ["dog"] * 3
    assert {sample.weight for sample in described} == {1.0}


def test_pictures_without_a_class_are_unlabelled_and_kept_apart(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    save_noise(data_dir / "unlabelled" / "x.png", 7001)
    save_noise(data_dir / "y.png", 7002)
    (data_dir / "README.md").write_text("about these pictures")
    (data_dir / ".DS_Store").write_bytes(b"litter")
    manifest = build(data_dir)
    assert unlabelled_samples(manifest)["path"].tolist() == ["unlabelled/x.png", "y.png"]
    assert set(usable_samples(manifest)["label"]) == {"cat", "dog"}
    assert len(manifest) == 122


def test_labels_csv_brings_group_domain_weight_and_split(tmp_path: Path) -> None:
    save_noise(tmp_path / "a b.png", 1)
    (tmp_path / "labels.csv").write_text("path,label,group,weight,split\na b.png,crack,module 7,0.5,test\n")
    (row,) = describe_samples(tmp_path, SUFFIXES)
    assert row == DescribedSample("a b.png", "crack", "module 7", "", 0.5, "test")


def test_labels_parquet_says_the_same_as_labels_csv(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 3)
    rows = [
        {"path": sample.path, "label": sample.label, "weight": 0.5, "shot_by": "me"} for sample in _described(data_dir)
    ]
    rows.append({"path": "dog/0.png", "label": None, "weight": None, "shot_by": None})
    pd.DataFrame(rows).to_csv(data_dir / "labels.csv", index=False)
    from_csv = sorted(describe_samples(data_dir, SUFFIXES, ["shot_by"]))
    (data_dir / "labels.csv").unlink()
    pq.write_table(pa.Table.from_pylist(rows), data_dir / "labels.parquet")
    assert sorted(describe_samples(data_dir, SUFFIXES, ["shot_by"])) == from_csv
    assert from_csv[3] == DescribedSample("dog/0.png", "")


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("file,label\na.png,x\n", "lacks the column"),
        ("path,label\n,x\n", "have no path:\n  line 2"),
        ("path,label\na.png,x\na.png,y\n", "second time:\n  a.png"),
        ("path,label,weight\na.png,x,-1\n", "weight that is not above 0:\n  line 2: a.png"),
        ("path,label,weight\na.png,x,heavy\n", "weight that is not above 0"),
        ("path,label,weight\na.png,x,nan\n", "weight that is not above 0"),
        ("path,label,weight\na.png,x,1\na.png,x,0\n", r"weight that is not above 0:\n  line 3: a.png \(0\)"),
        ("path,label,weight\na.png,x,1e-60\n", r"overflows in float32 .*\n  line 2: a.png \(1e-60\)"),
        ("path,label,weight\na.png,x,inf\n", r"overflows in float32 .*\n  line 2: a.png \(inf\)"),
        ("path,label,weight\na.png,x,1e-8\nb.png,y,1\n",
         r"differ too much: 1e-08 \(line 2: a.png\) vanishes next to 1 \(line 3: b.png\)"),
        ("path,label,split\na.png,x,holdout\n", "split that is not one of train, validation, test"),
        ("path,label\na.png,x,y\n", "more fields than the table has columns"),
        ("", "lacks the column"),
        ("path,label\n\"a.png,x\n", "not a comma-separated table"),
    ],
)  # fmt: skip
def test_a_broken_labels_csv_is_explained(tmp_path: Path, table: str, complaint: str) -> None:
    save_noise(tmp_path / "data" / "a.png", 1)
    (tmp_path / "data" / "labels.csv").write_text(table)
    with pytest.raises(LabelsError, match=complaint):
        build(tmp_path / "data")


def test_weights_that_float32_can_tell_apart_are_taken_as_they_are(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    for name in ("a", "b"):
        save_noise(data_dir / f"{name}.png", 1)
    (data_dir / "labels.csv").write_text("path,label,weight\na.png,x,1e-6\nb.png,y,8\n")
    assert [sample.weight for sample in _described(data_dir)] == [1e-6, 8]
    assert np.float32(8) + np.float32(1e-6) > np.float32(8)


def test_a_labels_table_that_is_no_parquet_is_explained(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_text("path,label\n")
    with pytest.raises(LabelsError, match="not a parquet table"):
        _described(tmp_path)


def test_no_folder_and_an_empty_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match="there is no folder"):
        _described(tmp_path / "data")
    (tmp_path / "data").mkdir()
    with pytest.raises(NoDataError, match="holds no samples"):
        _described(tmp_path / "data")


def test_the_manifest_holds_the_documented_columns_and_nothing_is_lost(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    (data_dir / "cat" / "text.png").write_text("I am no picture")
    profile = build_profile(data_dir)
    schema = pq.read_schema(tmp_path / "artifacts" / "manifest.parquet")
    assert schema.names == list(column_types(IMAGES))
    manifest = pd.read_parquet(tmp_path / "artifacts" / "manifest.parquet")
    assert manifest["path"].is_monotonic_increasing
    assert len(manifest) == profile.num_files == 121
    row = manifest.set_index("path").loc["dog/7.png"]
    assert (row["width"], row["height"], row["mode"], row["format"]) == (20, 16, "RGB", "PNG")
    assert row["num_bytes"] == (data_dir / "dog" / "7.png").stat().st_size
    assert row["brightness"] == pytest.approx(0.5, abs=0.05)
    assert row["sharpness"] > 50
    assert len(row["perceptual_hash"]) == 64


def test_pictures_that_the_table_forgot_are_counted(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    rows = [f"{sample.path},{sample.label}" for sample in _described(data_dir)][2:]
    (data_dir / "labels.csv").write_text("path,label\n" + "\n".join(rows))
    profile = build_profile(data_dir)
    assert (profile.num_samples, profile.num_not_described) == (118, 2)


def test_too_many_quarantined_files_stop_the_run_with_examples(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    for number in range(3):
        (data_dir / "cat" / f"text{number}.png").write_text("I am no picture")
    profile = build_profile(data_dir)
    with pytest.raises(QuarantineError, match=r"3 of 123 files(.*\n)+.*cat/text0\.png.*not_a_picture"):
        check_quarantine(profile, 0.01, [], IMAGES)
    check_quarantine(profile, 0.05, [], IMAGES)


def test_one_quarantined_file_of_few_does_not_stop_the_run_unless_none_is_allowed(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", num_per_class=10)
    (data_dir / "cat" / "text.png").write_text("I am no picture")
    profile = build_profile(data_dir)
    check_quarantine(profile, 0.01, [], IMAGES)
    with pytest.raises(QuarantineError, match="1 of 21 files"):
        check_quarantine(profile, 0, [], IMAGES)


def test_one_class_is_refused(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    shutil.rmtree(data_dir / "dog")
    with pytest.raises(ClassesError, match="only one class"):
        check_classes(build_profile(data_dir), [])


def test_split_fractions_come_out_as_asked() -> None:
    drawn = [split_of(str(n), key="k", **FRACTIONS) for n in range(20_000)]
    shares = [drawn.count(split) / len(drawn) for split in SPLITS]
    assert shares == pytest.approx([0.65, 0.1, 0.25], abs=0.015)


@pytest.fixture(scope="module")
def some_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures, some of them copies and near copies of each other, in folders of two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(16):
        save_noise(folder / ("cat" if number % 2 else "dog") / f"{number}.png", 900 + number)
    for number in range(8):
        source = next(folder.glob(f"*/{number}.png"))
        copy = source.with_name(f"copy{number}.png")
        content = source.read_bytes()
        copy.write_bytes(content if number % 2 else content.replace(b"IEND\xaeB`\x82", b"IEND\xaeB`\x82 "))
    return folder


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_adding_removing_and_renaming_samples_never_moves_another_between_splits(
    some_pictures: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Over any two sets of pictures, copies among them, equal content is in the same split and none straddles."""
    everything = sorted(path.relative_to(some_pictures).as_posix() for path in some_pictures.rglob("*.png"))
    sets = st.lists(st.sampled_from(everything), unique=True, min_size=1)
    seen: dict[str, str] = {}
    memory = NOTHING_GIVEN
    for chosen in (data.draw(sets), data.draw(sets)):
        data_dir = tmp_path_factory.mktemp("property") / "data"
        for path in chosen:
            renamed = data_dir / Path(path).with_stem(data.draw(st.sampled_from(["", "new-", "z"])) + Path(path).stem)
            renamed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(some_pictures / path, renamed)
        memory = build_all(data_dir, memory).memory
        manifest = read_manifest(data_dir.parent / "artifacts" / "manifest.parquet")
        assert (manifest["split"] != "").all()
        for sample_id, split in zip(manifest["sample_id"], manifest["split"], strict=True):
            assert seen.setdefault(sample_id, split) == split
        clusters = manifest["duplicate_of"].where(manifest["duplicate_of"] != "", manifest["path"])
        used = manifest["status"] == "ok"
        assert (manifest[used].groupby(clusters[used])["split"].nunique() == 1).all()
        assert manifest[used]["sample_id"].is_unique


def test_a_group_stays_together(tmp_path: Path) -> None:
    for index in range(60):
        save_noise(tmp_path / "data" / f"{index}.png", index)
    rows = "".join(f"{index}.png,{'ab'[index % 2]},module {index % 6}\n" for index in range(60))
    (tmp_path / "data" / "labels.csv").write_text("path,label,group\n" + rows)
    assert (build(tmp_path / "data").groupby("group")["split"].nunique() == 1).all()


def test_a_table_may_bring_its_own_split(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    rows = [f"{sample.path},{sample.label},{'test' if '7' in sample.path else ''}" for sample in _described(data_dir)]
    by_hash = build(data_dir).set_index("path")["split"]
    (data_dir / "labels.csv").write_text("path,label,split\n" + "\n".join(rows))
    own = build(data_dir).set_index("path")["split"]
    is_named = own.index.str.contains("7")
    assert (own[is_named] == "test").all()
    assert not (by_hash[is_named] == "test").all()
    pd.testing.assert_series_equal(own[~is_named], by_hash[~is_named])


def test_exact_copies_are_set_aside_and_listed(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    (data_dir / "dog" / "z-copy.png").write_bytes((data_dir / "cat" / "5.png").read_bytes())
    profile = build_profile(data_dir)
    manifest = build(data_dir).set_index("path")
    assert manifest.loc["dog/z-copy.png", ["status", "duplicate_of"]].tolist() == ["duplicate", "cat/5.png"]
    assert (profile.num_duplicates, profile.num_samples) == (1, 120)
    (pair,) = pd.read_csv(tmp_path / "artifacts" / "duplicates.csv").to_dict("records")
    assert (pair["path_a"], pair["label_a"], pair["path_b"], pair["label_b"]) == (
        "cat/5.png",
        "cat",
        "dog/z-copy.png",
        "dog",
    )


def test_what_would_leak_into_the_test_split_is_set_aside_and_the_test_split_keeps_all() -> None:
    members = [
        Member("id1", "a.png", "cat", "train"),
        Member("id2", "b.png", "cat", "test"),
        Member("id3", "c.png", "cat", "validation"),
        Member("id4", "d.png", "cat", "test"),
        Member("id5", "e.png", "", "test"),
    ]
    assert [status for _, status, _ in judge(members)] == ["leak", "ok", "leak", "ok", "ok"]
    assert [duplicate_of for *_, duplicate_of in judge(members)] == ["", "a.png", "a.png", "a.png", "a.png"]


def test_a_labelled_copy_is_kept_rather_than_an_unlabelled_one() -> None:
    members = [Member("id1", "a.png", "", "test"), Member("id1", "b.png", "cat", "train")]
    assert [status for _, status, _ in judge(members)] == ["duplicate", "ok"]


def test_near_duplicates_within_one_split_are_all_used() -> None:
    members = [Member(f"id{n}", f"{n}.png", "cat", "train") for n in range(3)]
    assert [status for _, status, _ in judge(members)] == ["ok", "ok", "ok"]


def test_a_second_ingest_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.data.index.SETTLED_NS", 0)
    data_dir = folder_of_classes(tmp_path / "data")
    first = build(data_dir)
    read = []

    def noting_read(path: Path, *rest: Any, **more: Any) -> Reading:
        read.append(path.name)
        return read_sample(path, *rest, **more)

    monkeypatch.setattr("graft.data.build.read_sample", noting_read)
    save_noise(data_dir / "cat" / "3.png", 4711)
    save_noise(data_dir / "cat" / "new.png", 4712)
    (data_dir / "dog" / "9.png").unlink()
    again = build(data_dir)
    assert sorted(read) == ["3.png", "new.png"]
    kept = ~first["path"].isin(["cat/3.png", "dog/9.png"])
    pd.testing.assert_frame_equal(
        first[kept].reset_index(drop=True), again[again["path"].isin(first["path"][kept])].reset_index(drop=True)
    )


def test_a_damaged_index_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.data.index.SETTLED_NS", 0)
    data_dir = folder_of_classes(tmp_path / "data")
    first = build(data_dir)
    index = tmp_path / "index.sqlite"
    content = bytearray(index.read_bytes())
    position = content.find(first["sample_id"][5].encode())
    content[position] ^= 1
    index.write_bytes(content)
    pd.testing.assert_frame_equal(build(data_dir), first)
    index.write_bytes(b"no database at all")
    pd.testing.assert_frame_equal(build(data_dir), first)


def test_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 20)
    written = []
    for _ in range(2):
        build(data_dir)
        written.append({path.name: path.read_bytes() for path in (tmp_path / "artifacts").iterdir()})
        (tmp_path / "index.sqlite").unlink()
    assert written[0] == written[1]
    assert sorted(written[0]) == ["duplicates.csv", "manifest.parquet", "quarantine.csv"]


def test_a_changed_picture_stops_the_reader_and_is_named(tmp_path: Path) -> None:
    samples = usable_samples(build(folder_of_classes(tmp_path / "data")))
    victim = tmp_path / "data" / samples["path"][3]
    content = bytearray(victim.read_bytes())
    content[-20] ^= 1
    victim.write_bytes(content)
    with pytest.raises(ContentChangedError, match=victim.name):
        load_images(tmp_path / "data", samples, 32)


def test_ingest_writes_nothing_into_the_data_folder(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 5)
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    build(data_dir)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before
    assert not quarantined(build(data_dir)).size
    assert np.isfinite(build(data_dir)["brightness"]).all()
