"""How addresses are written and shown."""

from pathlib import Path

import optuna
import pytest

from graft.core.addresses import sqlite_address, sqlite_path, without_passwords
from graft.core.errors import DownloadError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://anna:s3cret@runs.example/api", "https://***@runs.example/api"),
        ("no postgresql+psycopg://u:s3/c@r?et@db:5432/x here", "no postgresql+psycopg://***@db:5432/x here"),
        ("'https://s3cret@runs.example'", "'https://***@runs.example'"),
        ("https://a.example/x?sig=s3cret&v=1", "https://a.example/x?sig=***&v=1"),
        ("see https://a.example/b?access_token=s3cret.", "see https://a.example/b?access_token=***"),
        ("models:/cells@champion of http://host:5000/x", "models:/cells@champion of http://host:5000/x"),
        ("sqlite:////home/anna@work/x.db", "sqlite:////home/anna@work/x.db"),
    ],
)
def test_no_password_of_an_address_is_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_no_message_of_an_error_shows_a_password() -> None:
    error = DownloadError("could not download https://anna:s3cret@mirror.example/model.pth")
    assert str(error) == "could not download https://***@mirror.example/model.pth"
    assert "s3cret" not in f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("name", ["a%20b", "a#b", "a?b", "a b", "ä%C3%A4", "{a}", "a@b:c"])
def test_a_database_lies_where_it_was_asked_for_whatever_the_characters_of_its_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "search.sqlite"
    path.parent.mkdir()
    address = sqlite_address(path)
    assert sqlite_path(address) == path
    optuna.storages.RDBStorage(address).engine.dispose()
    assert [found.relative_to(tmp_path).parts for found in tmp_path.rglob("*.sqlite")] == [(name, "search.sqlite")]


def test_a_server_and_memory_are_no_file() -> None:
    assert sqlite_path("postgresql://db/x") is None
    assert sqlite_path("http://runs.example") is None
    assert sqlite_path("sqlite://") is None
