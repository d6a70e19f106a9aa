"""labels.csv and labels.parquet: which file is one, which columns are read, and what is read otherwise than written."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pictures import build, build_profile, folder_of_classes, save_noise

from graft.core.errors import LabelsError, ParamsError
from graft.core.params_file import load_params
from graft.data.describe import DescribedSample, describe_samples
from graft.modalities.image.reading import SUFFIXES

PARAMS = Path(__file__).parents[2] / "params.yaml"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A data folder with images and a labels.csv of these lines."""

    def write_table(*lines: str, images: tuple[str, ...] = ("images/a.png", "images/b.png")) -> Path:
        for number, path in enumerate(images):
            save_noise(tmp_path / "data" / path, number)
        (tmp_path / "data" / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / "data"

    return write_table


def _read(data_dir: Path, *ignored_columns: str) -> tuple[list[DescribedSample], list[str]]:
    notes: list[str] = []
    return sorted(describe_samples(data_dir, SUFFIXES, ignored_columns, notes.append)), notes


@pytest.mark.parametrize(
    ("column", "meant"),
    [("groups", "group"), ("Group", "group"), (" group", "group"), ("split ", "split"), ("SPLIT", "split"),
     ("wieght", "weight"), ("patient_id", "group"), ("subset", "split"), ("Domains", "domain")],
)  # fmt: skip
def test_a_column_that_nobody_reads_is_an_error_with_a_suggestion(write: Write, column: str, meant: str) -> None:
    data_dir = write(f"path,label,{column}", "images/a.png,x,1", "images/b.png,y,1")
    with pytest.raises(LabelsError, match=f"'{column}': did you mean {meant}\\?"):
        _read(data_dir)


def test_all_mistakes_of_the_first_line_are_named_together_with_the_way_to_go_on(write: Write) -> None:
    data_dir = write("Path,class,label,group,group,shot_by", "images/a.png,x,y,1,1,me")
    with pytest.raises(LabelsError) as refusal:
        _read(data_dir)
    message = str(refusal.value)
    for part in (
        "lacks the column(s) path; it has 'Path', 'class', ",
        "more than one column called 'group'",
        "'Path': did you mean path?",
        "'class': did you mean label? There is also a column label.",
        'params.yaml under ingest: ignored_columns: ["shot_by"]',
    ):
        assert part in message


def test_a_parquet_table_is_held_to_the_same_columns(tmp_path: Path) -> None:
    rows = pa.table({"path": ["a.png"], "label": ["x"], "Groups": ["1"], "__index_level_0__": [7]})
    pq.write_table(rows, tmp_path / "labels.parquet")
    with pytest.raises(LabelsError, match=r"has 1 column.*\n.*'Groups': did you mean group"):
        _read(tmp_path)
    twice = pa.Table.from_arrays([["a.png"], ["x"], ["y"]], ["path", "label", "label"])
    pq.write_table(twice, tmp_path / "labels.parquet")
    with pytest.raises(LabelsError, match="more than one column called 'label'"):
        _read(tmp_path)


def test_columns_that_are_named_in_params_yaml_are_ignored_and_said(write: Write) -> None:
    data_dir = write(",path,label,split,Groups", "0,images/a.png,x,fold 1,p1", "1,images/b.png,y,fold 2,p2")
    samples, notes = _read(data_dir, "split", "Groups", "shot_by")
    assert samples == [DescribedSample("images/a.png", "x"), DescribedSample("images/b.png", "y")]
    table = data_dir / "labels.csv"
    assert notes == [
        f"1 column(s) of {table} have no name of their own and are not read: ''",
        f"columns of {table} that are not read (ingest.ignored_columns): 'split', 'Groups'",
        f"ingest.ignored_columns names what {table} does not have: 'shot_by'",
    ]


def test_ignored_columns_without_a_table_are_said_to_have_no_effect(tmp_path: Path) -> None:
    _, (note,) = _read(folder_of_classes(tmp_path / "data", 1), "shot_by")
    assert note.startswith("ingest.ignored_columns has no effect")


def test_path_and_label_cannot_be_ignored(tmp_path: Path) -> None:
    params = yaml.safe_load(PARAMS.read_text())
    params["ingest"]["ignored_columns"] = ["label", "shot_by"]
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    with pytest.raises(ParamsError, match=r"ingest.ignored_columns: .*label cannot be ignored"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["path;label", "images/a.png;x"], "fields are separated by ';': save it with commas"),
        (["path\tlabel", "images/a.png\tx"], r"fields are separated by '\\t': save it with commas"),
        (["images/a.png,x", "images/b.png,y"], "first line seems to be a sample"),
        (
            ["path,label,group", "images/a.png,x,1", "images/b.p"],
            r"fewer fields than the table has.*:\n  line 3",
        ),
    ],
)
def test_what_is_no_table_of_labels_is_told_by_its_look(write: Write, lines: list[str], complaint: str) -> None:
    with pytest.raises(LabelsError, match=complaint):
        _read(write(*lines))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("Labels.csv", "Rename it to labels.csv"), ("LABELS.CSV", "Rename it to labels.csv"),
     ("label.csv", "Rename it to labels.csv"), ("labels (1).csv", "Rename it to labels.csv"),
     ("labels.csv.csv", "Rename it to labels.csv"), ("labels.csv ", "Rename it to labels.csv"),
     ("Labels.parquet", "Rename it to labels.parquet"), ("labels.csv.txt", "Save it as "),
     ("labels.tsv", "Save it as "), ("labels.xlsx", "Save it as "), ("labels.json", "Save it as ")],
)  # fmt: skip
def test_a_table_whose_name_is_nearly_right_is_not_passed_over(tmp_path: Path, name: str, remedy: str) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 1)
    (data_dir / name).write_text("path,label\ncat/0.png,x\n")
    with pytest.raises(LabelsError, match=re.escape(repr(name)) + f" in .* is not read: .*{remedy}"):
        _read(data_dir)


def test_a_spreadsheet_beside_the_table_made_from_it_is_no_mistake_but_another_spelling_is(write: Write) -> None:
    data_dir = write("path,label", "images/a.png,x")
    (data_dir / "labels.xlsx").write_bytes(b"PK")
    (data_dir / "labels (1).csv").write_text("path,label")
    assert len(_read(data_dir)[0]) == 1
    (data_dir / "Labels.csv").write_text("path,label\nimages/a.png,y\n")
    with pytest.raises(LabelsError, match=r"'Labels.csv' .* keep the correct one"):
        _read(data_dir)


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda table: table.symlink_to("gone.csv"), "is a link to 'gone.csv', which does not exist"),
        (lambda table: table.mkdir(), "is a folder, not a file"),
        (lambda table: os.mkfifo(table), "is a pipe, socket or device, not a file"),
    ],
)
def test_what_is_called_like_the_table_but_is_none_gets_an_answer(
    tmp_path: Path, name: str, make: Callable[[Path], None], complaint: str
) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 1)
    make(data_dir / name)
    with pytest.raises(LabelsError, match=f"{name} {complaint}"):
        _read(data_dir)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("images\\a.png", "with backslashes"),
        (".\\images\\a.png", "with backslashes"),
        ("data/images/a.png", "that lead to data/ first"),
        ("../data/images/a.png", "that lead to data/ first"),
        ("/home/ann/data/images/a.png", "that lead to data/ first"),
        ("C:\\ann\\data\\images\\a.png", "that lead to data/ first"),
        ("images/a", "whose suffix is missing, or in other capitals"),
        ("images/a.PNG", "whose suffix is missing, or in other capitals"),
        (" images/a.png ", "with surrounding blanks"),
    ],
)
def test_paths_that_are_written_otherwise_are_recognised_and_said(write: Write, written: str, kind: str) -> None:
    data_dir = write("path,label", f"{written},x", "images/b.png,y")
    samples, notes = _read(data_dir)
    assert [sample.path for sample in samples] == ["images/a.png", "images/b.png"]
    assert f"1 path(s) of {data_dir / 'labels.csv'} {kind}: {written!r} is read as 'images/a.png'" in notes


def test_an_accent_that_the_disk_writes_apart_is_found(write: Write) -> None:
    data_dir = write("path,label", "caf\u00e9.png,x", images=("cafe\u0301.png",))
    assert _read(data_dir)[0][0].path == "cafe\u0301.png"


def test_a_path_is_read_as_it_is_written_where_that_is_there_or_two_files_would_fit(write: Write) -> None:
    images = ("a\\b.png", " c.png", "data/d.png", "d.png", "e.png", "e.jpg")
    data_dir = write("path,label", *(f"{path},x" for path in ("a\\b.png", " c.png", "data/d.png", "e")), images=images)
    samples, notes = _read(data_dir)
    assert [sample.path for sample in samples] == [" c.png", "a\\b.png", "data/d.png", "e"]
    assert notes == []


def test_blanks_around_words_tear_no_class_and_no_group_apart(write: Write) -> None:
    data_dir = write("path,label,group,split", "images/a.png,cat ,p1,Train", "images/b.png,cat, p1,train ")
    samples, notes = _read(data_dir)
    assert {(sample.label, sample.group, sample.split) for sample in samples} == {("cat", "p1", "train")}
    assert [note.partition(" of ")[0] for note in notes] == ["1 group(s)", "1 label(s)", "1 split(s)", "1 split(s)"]


@pytest.mark.parametrize(("written", "meant"), [("val", "validation"), ("TRAIN", "train"), ("Testing", "test")])
def test_usual_words_for_a_split_are_understood_and_said(write: Write, written: str, meant: str) -> None:
    samples, (note,) = _read(write("path,label,split", f"images/a.png,x,{written}"))
    assert samples[0].split == meant
    assert note.endswith(f"in another word: {written!r} is read as {meant!r}")


def test_what_was_read_otherwise_stands_in_the_profile_with_its_number(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 3)
    rows = [f"{sample.path},{sample.label}".replace("/", "\\") for sample in describe_samples(data_dir, SUFFIXES)]
    (data_dir / "labels.csv").write_text("path,label,by\n" + "".join(f"{row},me\n" for row in sorted(rows)))
    with pytest.raises(LabelsError):
        build(data_dir)
    profile = build_profile(data_dir, ignored_columns=["by"])
    assert profile.num_samples == 6
    assert [note.partition(" of ")[0] for note in profile.notes] == ["columns", "6 path(s)"]


def test_splits_that_no_row_of_a_table_has_are_taken_from_training(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 40)
    rows = [f"{sample.path},{sample.label}" for sample in sorted(describe_samples(data_dir, SUFFIXES))]
    table = "".join(f"{row},{'train' if number % 4 else 'val'}\n" for number, row in enumerate(rows))
    (data_dir / "labels.csv").write_text("path,label,split\n" + table)
    counts = build_profile(data_dir, near_duplicate_similarity=None).counts
    assert sum(counts["validation"].values()) == 20
    assert 5 <= sum(counts["test"].values()) <= 25
