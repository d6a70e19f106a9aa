"""What a user reads on the terminal: no traceback for what the machine or the data cause, and no name that it obeys."""

import errno
import io
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT

from graft import __main__ as command_line
from graft.core.errors import ContentChangedError, DataError
from graft.core.files import folder_written_atomically, write_text
from graft.core.table_files import rows_written
from graft.core.terminal import answer_to, plain
from graft.data.profile import Profile
from tasks.stage import run_stage


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert plain("cat\x1b[2J\x07\r\x00\x9b1m") == r"cat\x1b[2J\x07\r\x00\x9b1m"
    assert plain("evil\u202egnp.exe \u2066a\u2069") == r"evil\u202egnp.exe \u2066a\u2069"
    assert plain("\udcff.png") == r"\udcff.png"
    assert plain("клетка セル é 😀\t1\n2") == "клетка セル é 😀\t1\n2"


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)


def _run(stage: Callable[[], object]) -> int:
    """The exit status of a stage that does this."""
    with pytest.raises(SystemExit) as ended:
        run_stage(lambda _: stage() and None)
    return int(ended.value.code or 0)


def _fail(error: Exception) -> Callable[[], object]:
    def stage() -> None:
        raise error

    return stage


MACHINE = {
    "a full disk": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "artifacts/a"), "artifacts/a: No space left"),
    "a quota": (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "artifacts/a"), "artifacts/a: Disk quota exceeded"),
    "no permission": (PermissionError(errno.EACCES, "Permission denied", ".graft"), ".graft: Permission denied. Allow"),
    "a missing artifact": (FileNotFoundError(errno.ENOENT, "No such file", "artifacts/a"), "run `dvc repro`"),
    "one that pyarrow misses": (FileNotFoundError("artifacts/a"), "artifacts/a: No such file or directory. If a stage"),
    "a full database": (None, "database or disk is full. Free some space"),
    "the data": (DataError("a class called \x1b[2J is empty"), r"DataError: a class called \x1b[2J is empty"),
}


@pytest.mark.parametrize("kind", MACHINE)
def test_what_the_machine_or_the_data_cause_is_a_sentence_and_not_a_traceback(
    capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    error, words = MACHINE[kind]
    assert _run(_fail(error) if error else _fill_a_database) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def _fill_a_database() -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA max_page_count = 1")
        database.execute("CREATE TABLE a (b)")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    assert answer_to(KeyError("a")) is None
    with pytest.raises(ZeroDivisionError):
        run_stage(lambda _: 1 // 0)  # type: ignore[arg-type, return-value]


def test_what_a_stage_prints_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage(lambda _: print("class \x1b]0;owned\x07 and \udcff"))
    assert capsys.readouterr().out == "class \\x1b]0;owned\\x07 and \\udcff\n"


def test_an_output_in_ascii_shows_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def stage() -> None:
        print("клетка", flush=True)
        raise DataError("no class セル")

    assert _run(stage) == 1
    for stream in (out, err):
        stream.flush()
    assert out.buffer.getvalue() == rb"\u043a\u043b\u0435\u0442\u043a\u0430" + b"\n"  # type: ignore[attr-defined]
    assert rb"no class \u30bb\u30eb" in err.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_locale_that_would_rename_files_is_refused_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    assert _run(lambda: None) == 1
    assert "names of files as iso8859-1" in capsys.readouterr().err


def test_a_full_disk_leaves_the_old_file_and_folder_and_names_the_place(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", "old")
    write_text(tmp_path / "folder" / "a", "old")

    places = {
        tmp_path / "a.csv": rows_written(tmp_path / "a.csv", ["path"]),
        tmp_path / "folder": folder_written_atomically(tmp_path / "folder"),
    }
    for place, writing in places.items():
        with pytest.raises(OSError, match=place.name) as caught, writing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert (answer_to(caught.value) or "").startswith(f"{place}: No space left on device. Free some")
    (tmp_path / "params.yaml").unlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "a.csv", "folder"]
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "folder" / "a").read_text() == "old"


def test_what_a_killed_process_left_of_a_folder_goes_with_the_next_one(tmp_path: Path) -> None:
    write_text(tmp_path / ".validation.0123.part" / "data_docs" / "index.html", "half")
    write_text(tmp_path / ".validation_of_others.0123.part", "not ours")
    with folder_written_atomically(tmp_path / "validation") as new:
        write_text(new / "result.json", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {
        "validation",
        ".validation_of_others.0123.part",
        "params.yaml",
    }


def test_a_result_that_is_not_utf8_is_said_to_be_made_anew(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_bytes(b'{"classes": ["\xff"]}')
    with pytest.raises(ContentChangedError, match=r"profile\.json is not what this version of Graft writes"):
        Profile.load(tmp_path / "profile.json")


def test_the_command_line_lists_a_source_with_a_hostile_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (PROJECT / "sources.yaml").read_text()
    (tmp_path / "sources.yaml").write_text(text.replace("  licence: ", '  licence: "\\e[31mMIT" # ', 1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["graft", "sources"])
    assert command_line.main() == 0
    said = capsys.readouterr().out
    assert r"\x1b[31mMIT" in said
    assert "\x1b" not in said
