"""Record of a finished pipeline as an MLflow run: one parent, one child per seed and arm."""

import json
import logging
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.entities import Metric, Param, RunStatus
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from graft.core.abandoned_runs import end_abandoned_runs, process_tags
from graft.core.arms import ARMS, WEIGHTS_FILE, ArmName
from graft.core.artifacts import ONNX_MODEL, REPORT
from graft.core.errors import ContentChangedError
from graft.core.files import sha256_of_file
from graft.core.markdown import as_markdown
from graft.core.paths import costs
from graft.core.tracking import (
    RECORD_RETRIES,
    RECORD_TIMEOUT_S,
    relocate_artifacts,
    require_active,
    require_database,
    server_errors_named,
)
from graft.experiment.result import ArmResult
from graft.hub.registry_models import SHA256_TAG, WEIGHTS_FOLDER
from graft.project import Project
from graft.selection.result import Selection
from graft.serving.result import Export
from graft.training.costs import Cost, costs_of, total
from graft.transfer.predictions import read_curves
from graft.transfer.verdict import Verdict

ONNX_SHA256_TAG = "graft.onnx_sha256"
"""Tag for the sha256 of the ONNX file that was checked against PyTorch; MLflow has this file."""


def record_run(project: Project, *, tracking_uri: str, artifact_root: str | None, experiment: str) -> str:
    """Writes params, metrics, curves, the report, the ONNX model with its signature, and the weights that a later run
    can start from; returns the parent's run id.

    The same results are recorded once: if a finished run has the same report, its id is returned.

    Args:
        artifact_root: file:// address of the project's own folder for artifacts; None: the server stores them.
    Raises:
        ServerError: MLflow does not accept the run.
    """
    if artifact_root is not None:
        relocate_artifacts(tracking_uri, artifact_root)
    with server_errors_named(tracking_uri, timeout_s=RECORD_TIMEOUT_S, retries=RECORD_RETRIES):
        require_database(tracking_uri)
        return _record(project, tracking_uri, artifact_root, experiment)


def _record(project: Project, tracking_uri: str, artifact_root: str | None, experiment: str) -> str:
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of every table that it makes
    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient(tracking_uri)
    require_active(client, experiment)
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id if found else client.create_experiment(experiment, artifact_location=artifact_root)
    )
    end_abandoned_runs(client, experiment_id)
    results_id = sha256_of_file(project.path(REPORT))
    earlier = client.search_runs(
        [experiment_id],
        f"tags.`graft.report_sha256` = '{results_id}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if earlier:
        return earlier[0].info.run_id

    tags = {"graft.report_sha256": results_id, **process_tags()}
    with mlflow.start_run(experiment_id=experiment_id, run_name="retrain", tags=tags) as parent:
        mlflow.log_params(_flat(project.params.model_dump(by_alias=True)))
        _record_results(project)
        _record_seeds(client, project, experiment_id, parent.info.run_id)
        _record_model(project)
        mlflow.log_artifact(str(project.path(REPORT)))
    return parent.info.run_id


def _record_results(project: Project) -> None:
    verdict = project.load(Verdict)
    weakest = verdict.weakest_class
    mlflow.log_metrics(
        {
            "transfer_test_accuracy": verdict.scores["transfer"].accuracy.mean,
            "baseline_test_accuracy": verdict.scores["baseline"].accuracy.mean,
            "transfer_gain_points": verdict.gain_points.mean,
            "transfer_gain_points_low": verdict.gain_points.low,
            "transfer_gain_points_high": verdict.gain_points.high,
            "probability_of_improvement": verdict.improvement.mean,
            "weakest_class_recall": weakest.recall.mean,
            "weakest_class_recall_low": weakest.recall.low,
            "weakest_class_recall_high": weakest.recall.high,
            "weakest_class_num_items": weakest.num_items,
        }
    )
    if verdict.against_longer is not None:
        mlflow.log_metric("transfer_gain_points_against_longer", verdict.against_longer.gain_points.mean)
    spent = [cost for of_seeds in _costs_of(project, verdict).values() for cost in of_seeds.values()]
    if spent:  # else both arms come from DVC's cache
        mlflow.log_metrics(total(spent).metrics)
        mlflow.set_tags({"graft.energy": total(spent).energy_basis, "graft.carbon": total(spent).carbon_basis})
    selection = project.load(Selection)
    mlflow.set_tags(
        {
            "graft.verdict": verdict.verdict,
            "graft.source": selection.chosen,
            "graft.weakest_class": weakest.name,
            "mlflow.note.content": as_markdown(f"{verdict.weakest_in_words} {verdict.claim}"),
        }
    )


def _costs_of(project: Project, verdict: Verdict) -> dict[ArmName, dict[int, Cost]]:
    return costs_of(costs(project.root), project.artifacts, verdict.seeds)


def _record_seeds(client: mlflow.MlflowClient, project: Project, experiment_id: str, parent_id: str) -> None:
    verdict = project.load(Verdict)
    results = [project.load(ArmResult, files.folder) for files in ARMS.values()]
    costs_by_arm = _costs_of(project, verdict)
    by_run = dict(list(read_curves(project.artifacts).groupby(["arm", "seed"])))
    for result, (number, seed) in product(results, enumerate(verdict.seeds)):
        accuracy = verdict.scores[result.arm].accuracy_per_seed[number]
        tags = {"mlflow.parentRunId": parent_id, "graft.arm": result.arm, **process_tags()}
        child = client.create_run(experiment_id, run_name=f"{result.arm} seed {seed}", tags=tags)
        status = RunStatus.FAILED
        try:
            metrics = [Metric("test_accuracy", accuracy, child.info.start_time, 0)] + [
                Metric(name, row[name], child.info.start_time, int(row["epoch"]))
                for row in by_run[result.arm, seed].to_dict("records")
                for name in ("train_loss", "validation_loss", "validation_accuracy")
            ]
            cost = costs_by_arm[result.arm].get(seed)
            spent = {} if cost is None else cost.metrics
            metrics += [Metric(name, number, child.info.start_time, 0) for name, number in spent.items()]
            params = {**result.settings, "seed": seed, "source": result.source}
            client.log_batch(child.info.run_id, metrics, [Param(name, str(value)) for name, value in params.items()])
            status = RunStatus.FINISHED
        finally:
            client.set_terminated(child.info.run_id, RunStatus.to_string(status))


def _record_model(project: Project) -> None:
    export = project.load(Export)
    if not export.exported:
        return
    folder = project.path(ARMS[project.load(Verdict).shown_arm].model)
    mlflow.log_artifacts(str(folder), artifact_path=WEIGHTS_FOLDER)
    mlflow.set_tag(SHA256_TAG, sha256_of_file(folder / WEIGHTS_FILE))
    model = onnx.load(project.path(ONNX_MODEL))
    classes = json.loads({prop.key: prop.value for prop in model.metadata_props}["classes"])
    logged = mlflow.onnx.log_model(
        model,
        name="model",
        signature=_signature(len(classes)),
        pip_requirements=["onnxruntime", "numpy"],
        metadata={"classes": classes, "onnx_sha256": export.onnx_sha256},
        save_as_external_data=False,  # else the weights lie beside the file, which has other bytes
    )
    _require_proven_bytes(mlflow.get_logged_model(logged.model_id).artifact_location, export.onnx_sha256)
    mlflow.set_tag(ONNX_SHA256_TAG, export.onnx_sha256)


def _require_proven_bytes(location: str, sha256: str) -> None:
    """Checks that MLflow has the ONNX file that was checked against PyTorch.

    Raises:
        ContentChangedError: the file in MLflow is a different one.
    """
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    address = f"{location}/model.onnx"
    with tempfile.TemporaryDirectory() as folder:
        found = sha256_of_file(Path(mlflow.artifacts.download_artifacts(address, dst_path=folder)))
    if found != sha256:
        raise ContentChangedError(
            f"MLflow holds another ONNX file ({address}, sha256 {found}) than the one that was held against PyTorch "
            f"({sha256}). Serve the file in artifacts/onnx, or run the stage export and record again."
        )


def _signature(num_classes: int) -> ModelSignature:
    pixels = TensorSpec(np.dtype("uint8"), (-1, -1, -1, 3), "pixels")
    probabilities = TensorSpec(np.dtype("float32"), (-1, num_classes), "probabilities")
    return ModelSignature(inputs=Schema([pixels]), outputs=Schema([probabilities]))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
