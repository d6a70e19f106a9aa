"""Describing, reading, splitting and checking a user's pictures."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from graft.data.describe import describe_samples
from graft.data.manifest import build_manifest, check_manifest, profile_of, quarantined, usable_samples
from graft.data.pictures import decode, load_pictures
from graft.data.splits import SPLITS, split_of
from graft.data.transforms import VIEWS, Normalise, resize
from graft.errors import ClassesError, ContentChangedError, LabelsError, NoDataError, QuarantineError

SPLIT = {"split_key": "graft", "test_fraction": 0.25, "validation_fraction": 0.1}


def _picture(path: Path, seed: int, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _folder_of_classes(data_dir: Path, num_per_class: int = 60) -> Path:
    for number, name in enumerate(["cat", "dog"]):
        for index in range(num_per_class):
            _picture(data_dir / name / f"{index}.png", seed=1000 * number + index)
    return data_dir


def test_a_folder_a_class_is_read(tmp_path: Path) -> None:
    described = describe_samples(_folder_of_classes(tmp_path / "data", 3))
    assert described["label"].tolist() == ["cat"] * 3 + ["dog"] * 3
    assert described["weight"].tolist() == [1.0] * 6


def test_labels_csv_brings_group_domain_and_weight(tmp_path: Path) -> None:
    _picture(tmp_path / "a b.png", 1)
    (tmp_path / "labels.csv").write_text("path,label,group,weight\na b.png,crack,module 7,0.5\n")
    row = describe_samples(tmp_path).iloc[0]
    assert (row["label"], row["group"], row["domain"], row["weight"]) == ("crack", "module 7", "", 0.5)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("file,label\na.png,x\n", "lacks the column"),
        ("path,label\na.png,\n", "have no label"),
        ("path,label\nmissing.png,x\n", "not there"),
        ("path,label\na.png,x\na.png,y\n", "second time"),
        ("path,label\n../a.png,x\n", "out of the data folder"),
        ("path,label,weight\na.png,x,-1\n", "weight that is not above 0"),
        ("path,label,weight\na.png,x,heavy\n", "weight that is not above 0"),
        ("", "not a comma-separated table"),
    ],
)
def test_a_broken_labels_csv_is_explained(tmp_path: Path, table: str, complaint: str) -> None:
    _picture(tmp_path / "a.png", 1)
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(LabelsError, match=complaint):
        describe_samples(tmp_path)


def test_no_folder_and_an_empty_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match="there is no folder"):
        describe_samples(tmp_path / "data")
    (tmp_path / "data").mkdir()
    with pytest.raises(NoDataError, match="holds no pictures"):
        describe_samples(tmp_path / "data")


def test_broken_files_are_quarantined_with_a_reason_and_nothing_is_lost(tmp_path: Path) -> None:
    data_dir = _folder_of_classes(tmp_path / "data")
    (data_dir / "cat" / "text.png").write_text("I am no picture")
    (data_dir / "cat" / "empty.png").write_bytes(b"")
    whole = (data_dir / "dog" / "0.png").read_bytes()
    (data_dir / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    manifest = build_manifest(data_dir, **SPLIT)
    assert len(manifest) == 123
    assert quarantined(manifest)["path"].tolist() == ["cat/empty.png", "cat/text.png", "dog/cut.png"]
    assert quarantined(manifest)["status"].str.startswith("unreadable: ").all()
    assert (quarantined(manifest)["split"] == "").all()
    with pytest.raises(QuarantineError, match=r"3 of 123 files.*(\n.*)*dog/cut\.png"):
        check_manifest(manifest, max_quarantined_fraction=0.01)
    check_manifest(manifest, max_quarantined_fraction=0.05)


def test_exact_copies_are_set_aside_and_counted(tmp_path: Path) -> None:
    data_dir = _folder_of_classes(tmp_path / "data")
    (data_dir / "cat" / "z-copy.png").write_bytes((data_dir / "cat" / "5.png").read_bytes())
    manifest = build_manifest(data_dir, **SPLIT).set_index("path")
    assert manifest.loc["cat/z-copy.png", "status"] == "duplicate"
    assert manifest.loc["cat/z-copy.png", "duplicate_of"] == "cat/5.png"
    assert profile_of(manifest.reset_index()).num_duplicates == 1
    assert len(usable_samples(manifest.reset_index())) == 120


def test_one_class_is_refused(tmp_path: Path) -> None:
    for index in range(40):
        _picture(tmp_path / "only" / f"{index}.png", index)
    with pytest.raises(ClassesError, match="one class only"):
        check_manifest(build_manifest(tmp_path, **SPLIT), max_quarantined_fraction=0)


def test_a_class_with_two_pictures_is_named(tmp_path: Path) -> None:
    data_dir = _folder_of_classes(tmp_path / "data")
    for index in range(2):
        _picture(data_dir / "rare" / f"{index}.png", 5000 + index)
    with pytest.raises(ClassesError, match=r"class 'rare' \(2\)"):
        check_manifest(build_manifest(data_dir, **SPLIT), max_quarantined_fraction=0)


@given(units=st.lists(st.text(min_size=1), unique=True, max_size=50), more=st.lists(st.text(min_size=1), max_size=20))
def test_adding_samples_never_moves_others_between_splits(units: list[str], more: list[str]) -> None:
    def splits(names: list[str]) -> dict[str, str]:
        return {name: split_of(name, key="k", test_fraction=0.25, validation_fraction=0.1) for name in names}

    assert {name: split for name, split in splits([*units, *more]).items() if name in units} == splits(units)


def test_renaming_a_picture_leaves_it_in_its_split(tmp_path: Path) -> None:
    data_dir = _folder_of_classes(tmp_path / "data")
    before = build_manifest(data_dir, **SPLIT).set_index("sample_id")["split"]
    for path in list((data_dir / "cat").iterdir()):
        path.rename(path.with_name("renamed-" + path.name))
    after = build_manifest(data_dir, **SPLIT).set_index("sample_id")["split"]
    pd.testing.assert_series_equal(before.sort_index(), after.sort_index())


def test_a_group_stays_together(tmp_path: Path) -> None:
    for index in range(60):
        _picture(tmp_path / f"{index}.png", index)
    rows = "".join(f"{index}.png,{'ab'[index % 2]},module {index % 6}\n" for index in range(60))
    (tmp_path / "labels.csv").write_text("path,label,group\n" + rows)
    manifest = build_manifest(tmp_path, **SPLIT)
    assert (manifest.groupby("group")["split"].nunique() == 1).all()


def test_split_fractions_come_out_as_asked() -> None:
    drawn = [split_of(str(n), key="k", test_fraction=0.25, validation_fraction=0.1) for n in range(20_000)]
    shares = [drawn.count(split) / len(drawn) for split in SPLITS]
    assert shares == pytest.approx([0.65, 0.1, 0.25], abs=0.015)


def test_a_changed_picture_stops_the_reader_and_is_named(tmp_path: Path) -> None:
    samples = usable_samples(build_manifest(_folder_of_classes(tmp_path / "data"), **SPLIT))
    victim = tmp_path / "data" / samples["path"][3]
    content = bytearray(victim.read_bytes())
    content[-20] ^= 1
    victim.write_bytes(content)
    with pytest.raises(ContentChangedError, match=victim.name):
        load_pictures(tmp_path / "data", samples, 32)


def test_pictures_are_turned_upright_and_made_rgb() -> None:
    lying = Image.new("L", (30, 10), 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    file = io.BytesIO()
    lying.save(file, "JPEG", exif=exif)
    assert decode(file.getvalue()).shape == (30, 10, 3)


def test_sixteen_bit_grey_keeps_its_range() -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)).save(file, "PNG")
    assert decode(file.getvalue())[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(("shape", "side_px"), [((300, 300), 160), ((28, 28), 96), ((50, 400), 224), ((64, 64), 64)])
def test_resize_is_the_antialiased_bilinear_resize_of_torch(shape: tuple[int, int], side_px: int) -> None:
    pictures = torch.randint(0, 256, (2, 3, *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = torch.nn.functional.interpolate(
        pictures.float(), size=(side_px, side_px), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(resize(pictures, side_px), expected, atol=1e-3, rtol=0)


def test_views_are_exact_and_undo_themselves() -> None:
    pictures = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    for view in VIEWS.values():
        assert torch.equal(view(view(pictures)), pictures)


def test_normalise_turns_channels_for_a_bgr_source() -> None:
    red = torch.zeros(1, 3, 1, 1)
    red[0, 0] = 255
    assert Normalise([0, 0, 0], [1, 1, 1], "bgr")(red).flatten().tolist() == [0, 0, 1]
