"""How a data folder is laid out: folders for classes, for splits, for neither, and tables that nobody reads."""

from pathlib import Path

import pytest
from pictures import build, build_all, build_profile, save_noise

from graft.core.errors import LayoutError
from graft.data.describe import DescribedSample, describe_samples
from graft.data.naming import split_named
from graft.modalities.image.reading import SUFFIXES


def _fill(data_dir: Path, *paths: str) -> Path:
    """Images by name, and other files."""
    for number, path in enumerate(paths):
        if path.endswith(".png"):
            save_noise(data_dir / path, number)
        else:
            (data_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (data_dir / path).write_text("a,b\n")
    return data_dir


def _read(data_dir: Path) -> tuple[list[DescribedSample], list[str]]:
    notes: list[str] = []
    return sorted(describe_samples(data_dir, SUFFIXES, say=notes.append)), notes


@pytest.mark.parametrize(
    "folders",
    [
        {"train": "train", "val": "validation", "test": "test"},
        {"Training": "train", "Validation": "validation", "Testing": "test"},
        {"seg_train/seg_train": "train", "seg_dev/seg_dev": "validation", "seg_test/seg_test": "test"},
        {"train_images": "train", "valid_images": "validation", "test_images": "test"},
        {"trainSet": "train", "testSet": "test"},
        {"my_train": "train", "eval": "test"},
        {"train": "train"},
    ],
)
def test_folders_for_splits_with_the_same_classes_below_are_used_as_splits(
    tmp_path: Path, folders: dict[str, str]
) -> None:
    paths = [f"{folder}/{label}/trip/1.png" for folder in folders for label in ("cat", "dog")]
    samples, (note,) = _read(_fill(tmp_path, *paths, "unlabelled/1.png"))
    found = {(sample.path.split("/")[0], sample.label, sample.split) for sample in samples if sample.label}
    assert found == {(name.split("/")[0], label, split) for name, split in folders.items() for label in ("cat", "dog")}
    assert [sample.path for sample in samples if not sample.label] == ["unlabelled/1.png"]
    assert "are used as splits, the folders below them as 2 classes: " in note


def test_classes_that_are_divided_into_splits_are_used_as_such(tmp_path: Path) -> None:
    samples, (note,) = _read(_fill(tmp_path, "cat/train/1.png", "cat/test/1.png", "dog/train/1.png", "dog/val/1.png"))
    assert [(sample.label, sample.split) for sample in samples] == [
        ("cat", "test"), ("cat", "train"), ("dog", "train"), ("dog", "validation"),
    ]  # fmt: skip
    assert "used as splits: test, train, validation" in note


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["train/1.png", "test/1.png"], r"'train', for train: no class folders, and 1 sample\(s\) in no class folder"),
        (["train/cat/1.png", "train/dog/1.png", "test/1.png"], r"'test', for test: no class folders, and 1 sample"),
        (["train/cat/1.png", "train/dog/1.png", "test/cat/1.png"], "'train', for train: 'cat', 'dog'"),
        (["train/cat/1.png", "train/dog/1.png", "test/Cat/1.png", "test/dog/1.png"], "'test', for test: 'Cat', 'dog'"),
        (["val/cat/1.png", "val/dog/1.png", "test/cat/1.png", "test/dog/1.png"], "if one is for training"),
        (["train/images/1.png", "train/labels/1.txt", "val/images/1.png", "val/labels/1.txt"], "'images', 'labels'"),
        (["cats_train/1.png", "dogs_train/1.png", "cats_test/1.png", "dogs_test/1.png"], "'dogs_test', for test"),
        (["seg_train/a/1.png", "seg_train/b/1.png", "seg_test/a/1.png", "seg_test/b/1.png", "seg_pred/1.png"],
         "'seg_pred': not a word for a split"),
        (["cat/train/1.png", "cat/test/1.png", "dog/1.png"], "divided into test, train, but these are not.*: 'dog'"),
        (["cat/train/1.png", "cat/test/1.png", "dog/train/1.png", "dog/more/1.png"], "hold other entries too: 'dog'"),
        (["images/1.png", "masks/1.png"], r"\('images', 'masks'\) are named after their contents"),
        (["images/train/1.png", "images/val/1.png", "labels/train/1.txt", "labels/val/1.txt"], "after their contents"),
        (["photos/cat/1.png", "photos/dog/1.png"], "one folder, 'photos', and in it the folders 'cat', 'dog'"),
        (["photos/labels.csv", "photos/1.png"], "one folder, 'photos', and in it the table labels.csv"),
        (["1.png", "2.png", "train.csv"], "not hold two folders that could be classes, but possibly .*: 'train.csv'"),
        (["images/1.png", "truth.xlsx"], "not hold two folders that could be classes, but possibly .*: 'truth.xlsx'"),
    ],
)  # fmt: skip
def test_folders_that_are_hardly_classes_are_refused_with_what_was_found(
    tmp_path: Path, paths: list[str], found: str
) -> None:
    with pytest.raises(LayoutError, match=found) as refusal:
        _read(_fill(tmp_path, *paths))
    assert str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize(
    "names", [("train", "car"), ("positive_test", "negative_test"), ("valid", "forged"), ("a", "A")]
)
def test_classes_that_are_called_a_little_like_splits_stay_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    samples, notes = _read(_fill(tmp_path, *(f"{name}/1.png" for name in names)))
    assert {(sample.label, sample.split) for sample in samples} == {(name, "") for name in names}
    assert notes == []


def test_a_name_speaks_of_a_split_by_a_whole_word() -> None:
    assert [split_named(name) for name in ("cats_train", "TEST", "valData2", "contest", "invalid")] == [
        "train", "test", "validation", None, None,
    ]  # fmt: skip
    assert split_named("cats_train", is_alone=True) is None


def test_a_table_that_lies_unread_beside_the_classes_is_said(tmp_path: Path) -> None:
    _fill(tmp_path, "cat/1.png", "dog/1.png", "metadata.csv", "train.txt", "README.txt", ".hidden.csv")
    _, (note,) = _read(tmp_path)
    assert note.startswith("not read: 'metadata.csv', 'train.txt' in ")


def test_folders_that_nearly_say_unlabelled_are_said_and_no_class(tmp_path: Path) -> None:
    samples, (note,) = _read(_fill(tmp_path, "cat/1.png", "dog/1.png", "Unlabeled/1.png"))
    assert [sample.path for sample in samples if not sample.label] == ["Unlabeled/1.png"]
    assert note.startswith("the folder 'Unlabeled' of ")


def test_blanks_and_loose_accents_make_no_class_of_their_own(tmp_path: Path) -> None:
    samples, notes = _read(_fill(tmp_path, "cat/1.png", "cat /2.png", "caf\u00e9/3.png", "cafe\u0301/4.png"))
    assert {sample.label for sample in samples} == {"cat", "caf\u00e9"}
    assert notes == [
        f"1 label(s) of {tmp_path} with decomposed accents: 'cafe\u0301' is read as 'caf\u00e9'",
        f"1 label(s) of {tmp_path} with surrounding blanks: 'cat ' is read as 'cat'",
    ]


def test_classes_that_capitals_or_blanks_alone_keep_apart_are_said(tmp_path: Path) -> None:
    data_dir = _fill(tmp_path / "data", "fire truck/1.png", "Fire_Truck/2.png", "-1/3.png", "1/4.png")
    (note,) = build_profile(data_dir, near_duplicate_similarity=None).notes
    assert note.startswith("classes that differ only in capitals, blanks or hyphens: 'Fire_Truck', 'fire truck'.")


def test_splits_that_no_folder_is_for_are_taken_from_training_and_never_from_the_others(tmp_path: Path) -> None:
    paths = [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in ("cat", "dog") for n in range(30)]
    data_dir = _fill(tmp_path / "data", *paths)
    manifest = build(data_dir, near_duplicate_similarity=None)
    is_test = manifest["path"].str.startswith("test/")
    assert set(manifest.loc[is_test, "split"]) == {"test"}
    assert set(manifest.loc[~is_test, "split"]) == {"train", "validation"}
    notes = build_profile(data_dir, near_duplicate_similarity=None).notes
    assert notes[-1].startswith("no sample has the split validation: 0.1 of the training samples get it")


def test_a_split_that_is_taken_from_training_has_two_samples_of_a_small_class_and_never_one_of_the_test_folder(
    tmp_path: Path,
) -> None:
    paths = [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in "abcdef" for n in range(8)]
    built = build_all(_fill(tmp_path / "data", *paths), near_duplicate_similarity=None)
    counts = built.profile.counts
    assert set(counts["test"].values()) == {8}
    assert min(counts["validation"].values()) == 2
    assert built.num_moved > 0
    assert built.shortages == []
