"""MLflow's runs and registry: checked before any work, contacted with timeouts, and movable with the project."""

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from graft.core.addresses import sqlite_path, why_unusable, without_passwords
from graft.core.errors import ServerError

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECK_TIMEOUT_S, RECORD_TIMEOUT_S = 8, 30
"""Timeouts of a server, before any work and with results to record. MLflow's own: 120 s with seven retries."""
RECORD_RETRIES = 2
LOCATION_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""(table, column) of MLflow's database that name a folder."""


@contextmanager
def bounded_waiting(timeout_s: int, retries: int) -> Iterator[None]:
    """Limits the timeout and retries of MLflow's requests in the block, unless the environment sets them.

    The environment is restored afterwards, including what `mlflow.set_tracking_uri` writes to it.
    """
    wanted = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the URL of each run includes the password
    }
    before = {name: os.environ.get(name) for name in (*wanted, "MLFLOW_TRACKING_URI")}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def require_tracking(uri: str, experiment: str) -> None:
    """
    Raises:
        ServerError: no MLflow server answers there, it refuses this user, or the experiment is deleted.
    """
    with server_errors_named(uri, timeout_s=CHECK_TIMEOUT_S, retries=0):
        require_database(uri)
        require_active(_client(uri), experiment)


def require_active(client: "MlflowClient", experiment: str) -> None:
    """
    Raises:
        ServerError: the experiment is deleted: MLflow records no run in it, and does not reuse its name.
    """
    found = client.get_experiment_by_name(experiment)
    if found is not None and found.lifecycle_stage == "deleted":
        shown = without_passwords(client.tracking_uri)
        raise ServerError(
            f"the experiment {experiment!r} of MLflow ({shown}) is deleted, so no run can be recorded. Restore it: "
            f"MLFLOW_TRACKING_URI='{shown}' mlflow experiments restore --experiment-id {found.experiment_id}"
        )


@contextmanager
def server_errors_named(uri: str, *, timeout_s: int, retries: int) -> Iterator[None]:
    """
    Raises:
        ServerError: one sentence for an error of MLflow, its database or the network in the block. The original error
            is not chained, since its traceback would show the password in a log.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with bounded_waiting(timeout_s, retries):
            yield
    except (MlflowException, SQLAlchemyError, requests.RequestException, ConnectionError, ImportError) as error:
        remedy = (
            "MLFLOW_TRACKING_URI names it; correct that, start the server, or unset it to record into this project."
            if os.environ.get("MLFLOW_TRACKING_URI")
            else "It is the project's own database: restore it, or move it away, and a new one is created."
        )
        raise ServerError(f"MLflow at {uri} cannot be used: {_reason(error, timeout_s)}. {remedy}") from None


def relocate_artifacts(uri: str, artifact_root: str) -> None:
    """Updates the locations of artifacts in the database of a project that was moved or copied.

    Only a root with the same ending as `artifact_root`, that of the same project in another folder, is replaced.

    Args:
        artifact_root: file:// address of the folder where this project keeps its artifacts now.
    Raises:
        ServerError: the database cannot be read or written.
    """
    database = sqlite_path(uri)
    if database is None or not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            _replace_roots(connection, artifact_root)
    except sqlite3.Error as error:
        raise ServerError(
            f"{database} could not be read or brought up to date: {error}. Close other programs that use it and run "
            "again; if it is damaged, restore it, or move it away, and a new one is created."
        ) from error


def _replace_roots(connection: sqlite3.Connection, artifact_root: str) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {table for table, _ in LOCATION_COLUMNS} <= tables:
        return
    locations = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    for (old,) in locations:
        if old and old != artifact_root and _ending(old) == _ending(artifact_root):
            _replace_root(connection, old, artifact_root)


def _replace_root(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in LOCATION_COLUMNS:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
        )


def _ending(address: str) -> tuple[str, ...]:
    """The last two folders of a local address; the whole of any other, which matches no other address."""
    parts = urlsplit(address)
    return PurePosixPath(unquote(parts.path)).parts[-2:] if parts.scheme in ("", "file") else (address,)


def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(uri)


def require_database(uri: str) -> None:
    """Connects once if `uri` names a database: MLflow itself tries ten times, which takes two minutes.

    Raises:
        ConnectionError: it cannot be opened, or is not open in time.
    """
    if not re.match(r"(sqlite|postgresql|mysql|mssql)\b", uri):
        return
    from sqlalchemy import create_engine

    def connect() -> None:
        if path := sqlite_path(uri):
            path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(uri)
        with engine.connect():
            pass
        engine.dispose()

    _within(CHECK_TIMEOUT_S, connect)


def _within(timeout_s: int, attempt: Callable[[], None]) -> None:
    """
    Raises:
        ConnectionError: the attempt failed, or timed out and is left to its thread, which ends with the process.
    """
    failures: list[Exception] = []

    def run() -> None:
        try:
            attempt()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise ConnectionError from TimeoutError()
    if failures:
        raise ConnectionError(str(failures[0])) from failures[0]


def _reason(error: Exception, timeout_s: int) -> str:
    said = str(error)
    if re.search(r"error code (401|403)\b|\b(401|403) Client Error", said):
        return (
            "it refuses this user. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if "not in JSON" in said or re.search(r"error code 404\b", said):
        return "what answers there is not an MLflow server"
    return why_unusable(error, timeout_s)
