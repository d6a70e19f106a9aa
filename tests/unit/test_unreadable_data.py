"""Tables in other encodings, names that no system can hold, folders that may not be read."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import folder_of_classes, save_noise

from graft.core.encodings import not_utf8
from graft.core.errors import LabelsError, NoDataError
from graft.data.describe import DescribedSample, describe_samples, files_below
from graft.modalities.image.reading import SUFFIXES

TABLE = "path,label\na.png,Küche\nb.png,Stube\n"


def _described(data_dir: Path, table: bytes) -> list[DescribedSample]:
    save_noise(data_dir / "a.png", 1)
    (data_dir / "labels.csv").write_bytes(table)
    return list(describe_samples(data_dir, SUFFIXES))


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        (TABLE.encode("cp1252"), r"labels\.csv is not UTF-8 \(line 2\); it seems to be Windows-1252\."),
        (TABLE.replace("ü", "\N{CYRILLIC SMALL LETTER YU}" * 3).encode("cp1251"), "Windows-1251 .if the language is R"),
        (TABLE.encode("utf-16"), "line 1.*seems to be UTF-16. .*iconv -f UTF-16 -t UTF-8 labels.csv"),
        (TABLE.encode("utf-16-le"), "seems to be UTF-16LE"),
        (TABLE.encode("utf-16-be"), "seems to be UTF-16BE"),
        (TABLE.encode("utf-32"), "seems to be UTF-32"),
    ],
)
def test_a_table_in_another_encoding_is_told_which_and_how_to_save_it(
    tmp_path: Path, table: bytes, answer: str
) -> None:
    with pytest.raises(LabelsError, match=answer) as caught:
        _described(tmp_path, table)
    assert 'in a spreadsheet, save it as "CSV UTF-8"; or: iconv -f ' in str(caught.value)


def test_the_advice_to_convert_a_table_works(tmp_path: Path) -> None:
    for number, encoding in enumerate(["cp1252", "utf-16", "utf-16-le", "utf-32"]):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(TABLE.encode(encoding))
        command = not_utf8(path).partition("or: ")[2]
        assert os.system(f"cd {tmp_path} && {command}") == 0
        assert path.read_text(encoding="utf-8-sig") == TABLE


def test_a_byte_order_mark_before_a_table_is_no_mistake(tmp_path: Path) -> None:
    assert [sample.label for sample in _described(tmp_path, TABLE.encode("utf-8-sig"))] == ["Küche", "Stube"]


@pytest.mark.parametrize("column", ["path", "label", "group"])
def test_a_nul_character_is_named_with_its_row(tmp_path: Path, column: str) -> None:
    row = {"path": "a.png", "label": "x", "group": "g"}
    words = ",".join({**row, column: "a\0b"}.values())
    with pytest.raises(LabelsError, match=r"1 row.* have a NUL character, .*:\n  line 2"):
        _described(tmp_path, f"path,label,group\n{words}\n".encode())


def test_text_that_is_not_utf8_in_a_parquet_table_is_explained(tmp_path: Path) -> None:
    words = pa.array([b"K\xfcche"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"path": ["a.png"], "label": words}), tmp_path / "labels.parquet")
    with pytest.raises(LabelsError, match=r"labels\.parquet holds text that is not UTF-8"):
        list(describe_samples(tmp_path, SUFFIXES))


@pytest.fixture
def shut() -> Iterator[Path]:
    """A data folder in which the folder of one class may not be read, seen by somebody who is not root."""
    user, parent = os.geteuid(), Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    parent.chmod(0o755)
    data_dir = folder_of_classes(parent / "data", num_per_class=1)
    (data_dir / "dog").chmod(0o000)
    if user == 0:
        os.seteuid(65534)
    yield data_dir
    os.seteuid(user)
    (data_dir / "dog").chmod(0o755)
    shutil.rmtree(parent)


def test_a_folder_that_may_not_be_looked_into_stops_the_run_and_is_named(shut: Path) -> None:
    with pytest.raises(NoDataError, match=r"data/dog cannot be read: Permission denied. .*chmod -R u\+rX"):
        list(files_below(shut))


def test_a_table_that_may_not_be_read_is_named(shut: Path) -> None:
    os.seteuid(os.getuid())
    (shut / "labels.csv").write_text(TABLE)
    (shut / "labels.csv").chmod(0o000)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(LabelsError, match=r"labels\.csv cannot be read: Permission denied"):
        list(describe_samples(shut, SUFFIXES))
