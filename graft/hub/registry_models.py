"""Models of our own registry as sources of further trainings.

alias -> version -> run -> the weights that `graft.registry.runs` logged next to the ONNX model, checked against the
sha256 in the run's tag.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from graft.core.addresses import sqlite_path
from graft.core.arms import CONFIG_FILE, WEIGHTS_FILE
from graft.core.errors import CatalogueError, DownloadError, HashMismatchError, RegistryError
from graft.core.paths import artifact_root, tracking_uri
from graft.core.tracking import RECORD_RETRIES, RECORD_TIMEOUT_S, bounded_waiting, relocate_artifacts
from graft.hub.cache import arriving, find_whole, require_hash, weights_folder, weights_path
from graft.hub.catalogue import Source
from graft.networks.model_config import ModelConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

WEIGHTS_FOLDER = "weights"
"""Folder of a run's artifacts with model.safetensors, its .sha256 and config.json, as in artifacts/model."""
SHA256_TAG = "graft.weights_sha256"
NUM_DIGITS = 6
"""Decimals that numbers in artifacts are rounded to."""


@dataclass(frozen=True)
class RegisteredModel:
    address: str
    """models:/NAME@ALIAS or models:/NAME/VERSION."""
    version: str
    run_id: str
    sha256: str


@bounded_waiting(RECORD_TIMEOUT_S, RECORD_RETRIES)
def fetch_registered(address: str, sha256: str | None, project: Path) -> Path:
    """The model's weights in the cache, with its config next to them (`config_path`).

    Args:
        sha256: hash that the catalogue or select pinned; None: of the version that the alias names now.
        project: folder whose registry is used if MLFLOW_TRACKING_URI is not set.
    Raises:
        RegistryError: there is no such model, version, alias or run, or it was recorded without its weights.
        DownloadError: its files are not available.
        HashMismatchError: the file does not have the recorded hash, or the alias has moved to other weights.
    """
    client = _client(project)
    model = _resolve(client, address)
    if sha256 and model.sha256 != sha256:
        raise HashMismatchError(
            f"{address} is version {model.version} now, with weights {model.sha256}; this run started from {sha256}, "
            "which are no longer in the cache. To start from the version that the registry names now: "
            "dvc repro --force --single-item select, then dvc repro. If sources.yaml pins the sha256, correct it there."
        )
    known = find_whole(model.sha256)
    if known and config_path(known).exists():
        return known
    with arriving(weights_folder()) as incoming:
        weights, config = (_download(client, model, name, incoming) for name in (WEIGHTS_FILE, CONFIG_FILE))
        checksum = _download(client, model, f"{WEIGHTS_FILE}.sha256", incoming)
        what = f"{WEIGHTS_FILE} of {address} (version {model.version})"
        require_hash(
            weights,
            checksum.read_text(encoding="utf-8", errors="replace").strip(),
            f"{what}, against the file next to it",
        )
        require_hash(weights, model.sha256, f"{what}, against the tag {SHA256_TAG} of run {model.run_id}")
        path = weights_path(WEIGHTS_FILE, model.sha256)
        config.replace(config_path(path))
        return weights.replace(path)


def config_path(weights: Path) -> Path:
    """Path of a registered model's config: next to its weights in the cache."""
    return weights.with_suffix(".config.json")


def require_same_model(source: Source, weights: Path) -> None:
    """
    Raises:
        CatalogueError: the entry's architecture or preprocessing differs from that of the model.
    """
    path = config_path(weights)
    try:
        config = ModelConfig.load(path)
    except ValidationError as error:
        raise CatalogueError(f"{path} is not the config of a model; delete it and its weights: {error}") from error
    expected = source.preprocessing
    pairs = {
        "architecture": (source.architecture, config.architecture),
        "preprocessing.image_size_px": (expected.image_size_px, config.image_size_px),
        "preprocessing.mean": (_rounded(expected.mean), _rounded(config.mean)),
        "preprocessing.std": (_rounded(expected.std), _rounded(config.std)),
        "preprocessing.channel_order": (expected.channel_order, config.channel_order),
        "trained_on.num_classes": (source.trained_on.num_classes, len(config.classes)),
    }
    wrong = [f"  {key}: {said}, the model has {true}" for key, (said, true) in pairs.items() if said != true]
    if wrong:
        raise CatalogueError(
            f"source {source.name!r} in sources.yaml contradicts the registered model:\n" + "\n".join(wrong)
        )


def _client(project: Path) -> "MlflowClient":
    uri = tracking_uri(project)
    database = sqlite_path(uri)
    if database is not None and not database.exists():
        raise RegistryError(
            f"there is no registry at {database}. Record a run in it with python -m flows.retrain, or name a server "
            "with the environment variable MLFLOW_TRACKING_URI."
        )
    from mlflow import MlflowClient  # costs seconds

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    if root := artifact_root(project):
        relocate_artifacts(uri, root)
    return MlflowClient(uri)


def _resolve(client: "MlflowClient", address: str) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    version = _version(client, address)
    what = f"{address} (version {version.version})"
    if not version.run_id:
        raise RegistryError(
            f"{what} was registered without a run, so its origin is unknown. Register a version of a run."
        )
    try:
        run = client.get_run(version.run_id)
    except MlflowException as error:
        raise RegistryError(f"{what} names run {version.run_id}, which cannot be read: {error}") from error
    if run.info.lifecycle_stage != "active":
        raise RegistryError(
            f"run {version.run_id} of {what} is archived (deleted). Restore it with "
            f"mlflow runs restore --run-id {version.run_id}, or point the alias to another version."
        )
    sha256 = run.data.tags.get(SHA256_TAG, "")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise RegistryError(
            f"run {version.run_id} of {what} does not name its weights (tag {SHA256_TAG}): it was not recorded by this "
            "pipeline, or by an older version of it. Register a version whose run python -m flows.retrain recorded."
        )
    return RegisteredModel(address, str(version.version), version.run_id, sha256)


def _version(client: "MlflowClient", address: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    name, alias, number = re.fullmatch(r"models:/([^/@]+)(?:@(.+)|/(\d+))", address).groups()  # type: ignore[union-attr]
    try:
        if alias:
            return client.get_model_version_by_alias(name, alias)
        return client.get_model_version(name, number)
    except MlflowException as error:
        raise RegistryError(
            f"the registry has no {address}: {error} Look at its contents with mlflow ui; give a version the alias "
            "there, or correct `model` in sources.yaml."
        ) from error


def _download(client: "MlflowClient", model: RegisteredModel, name: str, folder: Path) -> Path:
    from mlflow.exceptions import MlflowException

    try:
        return Path(client.download_artifacts(model.run_id, f"{WEIGHTS_FOLDER}/{name}", str(folder)))
    except (MlflowException, OSError) as error:
        raise DownloadError(
            f"run {model.run_id} ({model.address}, version {model.version}) has no available "
            f"{WEIGHTS_FOLDER}/{name}: {error} Check the registry's artifact store, or name a version with files."
        ) from error


def _rounded(values: list[float]) -> list[float]:
    return [round(value, NUM_DIGITS) for value in values]
