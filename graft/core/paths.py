"""Paths of everything that is not a pipeline output. Nothing here changes a result."""

import os
from pathlib import Path

from graft.core.addresses import sqlite_address


def user_cache() -> Path:
    """Folder of downloads, features and decoded images, shared by all clones of a user; GRAFT_CACHE moves it."""
    configured = os.environ.get("GRAFT_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "graft"


def checkpoints(project: Path) -> Path:
    """Folder of finished seeds and searches of an interrupted stage; ignored by git and DVC, safe to delete."""
    return project / ".graft" / "checkpoints"


def costs(project: Path) -> Path:
    """File with the time and energy that trainings took; ignored by git and DVC, safe to delete."""
    return project / ".graft" / "costs.json"


def data_index(project: Path) -> Path:
    """Database of the files that ingest has read; ignored by git and DVC, safe to delete."""
    return project / ".graft" / "data_index.sqlite"


def ledger_lock(project: Path) -> Path:
    """Lock held while test_uses.json is written; ignored by git and DVC, safe to delete."""
    return project / ".graft" / "test_uses.lock"


def tracking_uri(project: Path) -> str:
    """Address of MLflow's runs and registry: MLFLOW_TRACKING_URI, or else an SQLite file in this project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_address(tracking_database(project))


LIVE_CURVES = "GRAFT_LIVE_CURVES"
"""Environment variable: 0 for no curves in MLflow while a training runs, 1 for curves there even where it is the
project's own database. Without the variable there are some where MLFLOW_TRACKING_URI is set."""


def live_tracking_uri(project: Path) -> str | None:
    """Address of MLflow for the curves of trainings that run; None: they are not wanted."""
    switch = os.environ.get(LIVE_CURVES, "1" if os.environ.get("MLFLOW_TRACKING_URI") else "0")
    return None if switch == "0" else tracking_uri(project)


def tracking_database(project: Path) -> Path:
    """MLflow's database if no server is named."""
    return project / ".graft" / "mlflow.db"


def artifact_root(project: Path) -> str | None:
    """Address of the folder for artifacts of runs; None if MLFLOW_TRACKING_URI is set, as that server decides."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return (project.absolute() / ".graft" / "mlartifacts").as_uri()
