"""Yesterday's model as tomorrow's source: recorded, registered, fetched, and the same to the bit."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient

from graft.core.errors import CatalogueError, DownloadError, HashMismatchError, RegistryError
from graft.core.files import sha256_of_file
from graft.core.tensors import load_tensors, save_tensors
from graft.hub.catalogue import Source
from graft.hub.fetch import cached_weights, fetch_weights, pinned
from graft.hub.source_lookup import chosen_source
from graft.hub.weights import load_backbone
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.registry.runs import record_run
from graft.serving.served import load_model

MODEL = "cells"
CHAMPION = f"models:/{MODEL}@champion"


@pytest.fixture(scope="session")
def recorded(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project's folder with two registered versions of its model, the first one the champion; and its run."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copytree(finished / "artifacts", folder / "artifacts")
    uri = f"sqlite:///{folder}/.graft/mlflow.db"
    (folder / ".graft").mkdir()
    shutil.copy(finished / "params.yaml", folder)
    project = Project(folder)
    run_id = record_run(project, tracking_uri=uri, artifact_root=(folder / "store").as_uri(), experiment="graft")
    client = MlflowClient(uri)
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, f"runs:/{run_id}/model", run_id)
    client.set_registered_model_alias(MODEL, "champion", "1")
    return folder, run_id


@pytest.fixture
def registry(recorded: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MlflowClient, str]:
    """A copy of the project, its empty cache, and the run; the artifacts stay where they are."""
    folder, run_id = recorded
    shutil.copytree(folder / ".graft", tmp_path / ".graft")
    shutil.copytree(folder / "artifacts" / "model", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return MlflowClient(f"sqlite:///{tmp_path}/.graft/mlflow.db"), run_id


def _source(model: str = CHAMPION, **changes: object) -> Source:
    config = ModelConfig.load(Path("model/config.json"))
    preprocessing = config.model_dump(include={"image_size_px", "mean", "std", "channel_order"})
    known = {
        "name": "champion",
        "description": "what is in production",
        "architecture": config.architecture,
        "trained_on": {"task": "classification", "domain": "cells", "dataset": "ELPV", "num_classes": 2},
        "licence": config.licence,
        "num_parameters": 1,
        "gflops": 1.0,
        "preprocessing": preprocessing,
        "weights": {"scheme": "mlflow", "model": model},
    }
    return Source(**known | changes)  # type: ignore[arg-type]


def _artifact(registry: tuple[MlflowClient, str], name: str) -> Path:
    client, run_id = registry
    return Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / "weights" / name


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("model", [CHAMPION, f"models:/{MODEL}/1"])
def test_the_champion_as_a_source_gives_the_features_of_the_saved_model(model: str) -> None:
    source = pinned(_source(model))
    assert source.weights_sha256 == sha256_of_file(Path("model/model.safetensors"))
    served, config = load_model(Path("model"))
    pictures = torch.randn(2, 3, config.image_size_px, config.image_size_px, generator=torch.manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load_backbone(source)(pictures), served.classifier.backbone.eval()(pictures))


def test_an_alias_that_moves_during_a_run_changes_nothing_in_that_run(registry: tuple[MlflowClient, str]) -> None:
    client, _ = registry
    selected = pinned(_source())
    _register_other_weights(registry)
    later = chosen_source({"champion": _source()}, "champion", selected.weights_sha256)
    assert sha256_of_file(fetch_weights(later)) == selected.weights_sha256
    assert pinned(_source()).weights_sha256 != selected.weights_sha256
    shutil.rmtree("cache")
    with pytest.raises(HashMismatchError, match="dvc repro --force --single-item select"):
        fetch_weights(later)
    client.set_registered_model_alias(MODEL, "champion", "1")
    assert sha256_of_file(fetch_weights(later)) == selected.weights_sha256


def _register_other_weights(registry: tuple[MlflowClient, str]) -> None:
    """Version 2, now the champion: the same model, one number of it changed."""
    client, run_id = registry
    tensors = load_tensors(Path("model/model.safetensors"))
    tensors["head.bias"] += 1
    shutil.copytree("model", "other")
    save_tensors(Path("other/model.safetensors"), tensors)
    run = client.create_run(client.get_run(run_id).info.experiment_id)
    client.log_artifacts(run.info.run_id, "other", "weights")
    client.set_tag(run.info.run_id, "graft.weights_sha256", sha256_of_file(Path("other/model.safetensors")))
    client.create_model_version(MODEL, f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias(MODEL, "champion", "2")


@pytest.mark.usefixtures("registry")
def test_an_entry_that_contradicts_the_model_is_refused_and_told_what_is_true() -> None:
    config = ModelConfig.load(Path("model/config.json"))
    wrong = {**_source().preprocessing.model_dump(), "image_size_px": 320, "mean": [0.1, 0.2, 0.3]}
    for source in (_source(preprocessing=wrong), _source(preprocessing=wrong)):  # fetched first, then from the cache
        with pytest.raises(CatalogueError, match=f"320, the model has {config.image_size_px}") as caught:
            fetch_weights(source)
        assert "preprocessing.mean: [0.1, 0.2, 0.3], the model has" in str(caught.value)
    with pytest.raises(CatalogueError, match=f"the model has {config.architecture}"):
        fetch_weights(_source(architecture="torchvision/resnet18"))


def test_what_the_registry_lacks_is_named_with_what_to_do(
    registry: tuple[MlflowClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, run_id = registry
    for model in ("models:/nothing@champion", f"models:/{MODEL}@missing", f"models:/{MODEL}/7"):
        with pytest.raises(RegistryError, match=r"mlflow ui; give a version the alias"):
            fetch_weights(_source(model))
    client.create_model_version(MODEL, "file:///nowhere")
    with pytest.raises(RegistryError, match="registered without a run"):
        fetch_weights(_source(f"models:/{MODEL}/2"))
    client.delete_tag(run_id, "graft.weights_sha256")
    with pytest.raises(RegistryError, match="does not name its weights"):
        fetch_weights(_source())
    client.delete_run(run_id)
    with pytest.raises(RegistryError, match=f"mlflow runs restore --run-id {run_id}"):
        fetch_weights(_source())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    with pytest.raises(RegistryError, match=r"there is no registry at elsewhere\.db"):
        fetch_weights(_source())
    assert not Path("elsewhere.db").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.safetensors.sha256"])
def test_an_artifact_that_is_gone_or_changed_is_refused_and_nothing_is_kept(
    registry: tuple[MlflowClient, str], name: str
) -> None:
    path = _artifact(registry, name)
    content = path.read_bytes()
    try:
        path.unlink()
        with pytest.raises(DownloadError, match=f"has no available weights/{name}"):
            fetch_weights(_source())
        if name != "config.json":
            path.write_bytes(content[:-1])
            with pytest.raises(HashMismatchError, match="Nothing was kept"):
                fetch_weights(_source())
    finally:
        path.write_bytes(content)
    assert list(Path("cache/weights").iterdir()) == []
    assert cached_weights(_source()) is None


def test_the_run_carries_what_a_later_one_can_start_from(recorded: tuple[Path, str]) -> None:
    folder, run_id = recorded
    mlflow.set_tracking_uri(f"sqlite:///{folder}/.graft/mlflow.db")
    run = mlflow.get_run(run_id)
    assert run.data.tags["graft.weights_sha256"] == sha256_of_file(folder / "artifacts/model/model.safetensors")
    stored = Path(run.info.artifact_uri.removeprefix("file://")) / "weights"
    assert sorted(path.name for path in stored.iterdir()) == [
        "config.json",
        "model.safetensors",
        "model.safetensors.sha256",
    ]
    assert json.loads((stored / "config.json").read_text())["classes"] == ["defective", "functional"]
