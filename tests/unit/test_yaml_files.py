"""The three YAML files that users write, and what cannot be read of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT

from graft.core.errors import CatalogueError, DataError, GraftError, ParamsError, SuiteError
from graft.core.params_file import load_params
from graft.core.yaml_files import read_yaml
from graft.hub.catalogue import load_catalogue
from graft.validation.suite import load_suite
from infra.restore_data import restore_data

READERS: dict[str, tuple[Callable[[Path], object], type[GraftError]]] = {
    "params.yaml": (load_params, ParamsError),
    "expectations.yaml": (load_suite, SuiteError),
    "sources.yaml": (load_catalogue, CatalogueError),
}
BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
LAUGHS = "- sentence: &a0 [haha]\n" + "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BROKEN: dict[str, tuple[bytes, str]] = {
    "a bomb of aliases": (BOMB.encode(), "more than 100,000 values, counting what aliases"),
    "a bomb in a list": (LAUGHS.encode(), "more than 100,000 values, counting what aliases"),
    "a loop of aliases": (b"a: &a [*a]\n", "an alias refers to a value that contains it"),
    "a key twice": (b"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "the key c appears in lines 3 and 5"),
    "nesting without end": (b"[" * 50_000, "nested too deeply"),
    "a date that there is not": (b"a: 2020-99-99\n", "not valid YAML"),
    "a zero byte": (b"a: b\0c\n", "not valid YAML: .*#x0000"),
    "a tag that makes objects": (b"!!python/object/apply:os.system ['true']\n", "not valid YAML"),
    "Windows-1252": ("ä: Küche\n".encode("cp1252"), r"line 1\); it seems to be Windows-1252.*iconv -f WINDOWS-1252"),
    "UTF-16": ("a: 1\n".encode("utf-16"), "it seems to be UTF-16. Save it as UTF-8: in an editor, or: iconv"),
    "UTF-16 without a mark": ("a: 1\n".encode("utf-16-le"), "it seems to be UTF-16LE"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_cannot_be_read_is_answered_with_where_and_why_in_a_few_lines(
    tmp_path: Path, name: str, kind: str
) -> None:
    read, error = READERS[name]
    content, answer = BROKEN[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=answer) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_not_there_or_may_not_be_read_is_said(tmp_path: Path, name: str) -> None:
    read, error = READERS[name]
    with pytest.raises(error, match=f"is missing. Restore it with: git checkout -- {name}"):
        read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(error, match="cannot be read: Is a directory"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, name: str) -> None:
    read, _ = READERS[name]
    content = (PROJECT / name).read_bytes()
    (tmp_path / name).write_bytes(content)
    without = read(tmp_path / name)
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert read(tmp_path / name) == without


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("<<<<<<< HEAD\nouts:\n", "data.dvc is not valid YAML"),
        ("outs: []\n", "pins no data"),
        ("outs:\n- md5: a\n  md5: b\n", "the key md5 appears in lines 2 and 3"),
    ],
)
def test_a_broken_data_dvc_is_explained(tmp_path: Path, content: str, answer: str) -> None:
    for name in (".dvc", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "data.dvc").write_text(content)
    with pytest.raises(DataError, match=answer):
        restore_data(tmp_path)


def test_aliases_and_merged_keys_of_ordinary_size_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\ne: [*a, *a]\n")
    assert read_yaml(tmp_path / "a.yaml", ParamsError)["d"] == {"b": 1, "c": 3}


def test_a_mistake_quotes_a_line_of_what_was_found_at_most(tmp_path: Path) -> None:
    text = (PROJECT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("seeds: [0, 1]", f"seeds: [{'x' * 10_000}, 1]"))
    with pytest.raises(ParamsError, match=r"arms\.seeds\.0: .* \(found: 'xxx") as caught:
        load_params(tmp_path / "params.yaml")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("seed", [-1, 2**31, 2**64, 10**30])
def test_a_seed_that_not_every_library_takes_is_refused_with_the_bounds(tmp_path: Path, seed: int) -> None:
    text = (PROJECT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("seeds: [0, 1]", f"seeds: [0, {seed}]"))
    with pytest.raises(ParamsError, match=r"arms\.seeds\.1: .*(greater than or equal to 0|less than 2147483648)"):
        load_params(tmp_path / "params.yaml")


def test_a_number_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    text = (PROJECT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  num_mistakes: ", f"  num_mistakes: {10**25}"))
    with pytest.raises(ParamsError, match=r"report\.num_mistakes: .*more than 64 bits"):
        load_params(tmp_path / "params.yaml")
