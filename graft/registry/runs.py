"""A finished pipeline as an MLflow run: one parent, one child a seed and arm."""

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

from graft.core.artifacts import ARM_FOLDERS, MODEL_FOLDERS, ArmName, ArmResult, Export, Selection
from graft.core.errors import ContentChangedError
from graft.core.files import sha256_of_file
from graft.core.markdown import as_markdown
from graft.core.paths import costs
from graft.core.tracking import RECORD_RETRIES, RECORD_TIMEOUT_S, answering, require_active, require_database, settle
from graft.hub.registry_models import SHA256_TAG, WEIGHTS_FILE, WEIGHTS_FOLDER
from graft.registry.abandoned import end_abandoned_runs, process_tags
from graft.training.costs import Cost, costs_of, total
from graft.transfer.predictions import read_curves
from graft.transfer.verdict import Verdict

ONNX_SHA256_TAG = "graft.onnx_sha256"
"""Of the ONNX file that was held against PyTorch, which is the one that MLflow holds."""


def record_run(
    artifacts_dir: Path, params: dict[str, Any], *, tracking_uri: str, artifact_root: str | None, experiment: str
) -> str:
    """Writes params, metrics, curves, the report, the ONNX model with its signature, and the weights that a later run
    can start from; returns the parent's run id.

    The same results are recorded once: a finished run with the same verdict, export and params is returned as it is.

    Args:
        artifact_root: file:// address of the project's own folder for artifacts; None: the server has a place for them.
    Raises:
        ServerError: MLflow does not take the run.
    """
    if artifact_root is not None:
        settle(tracking_uri, artifact_root)
    with answering(tracking_uri, timeout_s=RECORD_TIMEOUT_S, retries=RECORD_RETRIES):
        require_database(tracking_uri)
        return _record(artifacts_dir, params, tracking_uri, artifact_root, experiment)


def _record(
    artifacts_dir: Path, params: dict[str, Any], tracking_uri: str, artifact_root: str | None, experiment: str
) -> str:
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of every table that it makes
    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient(tracking_uri)
    require_active(client, experiment)
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id if found else client.create_experiment(experiment, artifact_location=artifact_root)
    )
    end_abandoned_runs(client, experiment_id)
    results_id = sha256_of_file(artifacts_dir / "report.html")
    earlier = client.search_runs(
        [experiment_id],
        f"tags.`graft.report_sha256` = '{results_id}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if earlier:
        return earlier[0].info.run_id

    tags = {"graft.report_sha256": results_id, **process_tags()}
    with mlflow.start_run(experiment_id=experiment_id, run_name="retrain", tags=tags) as parent:
        mlflow.log_params(_flat(params))
        _record_results(artifacts_dir)
        _record_seeds(client, artifacts_dir, experiment_id, parent.info.run_id)
        _record_model(artifacts_dir)
        mlflow.log_artifact(str(artifacts_dir / "report.html"))
    return parent.info.run_id


def _record_results(artifacts_dir: Path) -> None:
    verdict = Verdict.load(artifacts_dir / "verdict.json")
    weakest = verdict.weakest_class
    mlflow.log_metrics(
        {
            "transfer_test_accuracy": verdict.scores["transfer"].accuracy.mean,
            "scratch_test_accuracy": verdict.scores["scratch"].accuracy.mean,
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
    if verdict.against_converged is not None:
        mlflow.log_metric("transfer_gain_points_against_longer", verdict.against_converged.gain_points.mean)
    spent = [cost for of_seeds in _costs_of(artifacts_dir, verdict).values() for cost in of_seeds.values()]
    if spent:  # else both arms come from DVC's cache
        mlflow.log_metrics(total(spent).metrics)
        mlflow.set_tags({"graft.energy": total(spent).energy_basis, "graft.carbon": total(spent).carbon_basis})
    selection = Selection.load(artifacts_dir / "selection.json")
    mlflow.set_tags(
        {
            "graft.verdict": verdict.verdict,
            "graft.source": selection.chosen,
            "graft.weakest_class": weakest.name,
            "mlflow.note.content": as_markdown(f"{verdict.weakest_in_words} {verdict.claim}"),
        }
    )


def _costs_of(artifacts_dir: Path, verdict: Verdict) -> dict[ArmName, dict[int, Cost]]:
    return costs_of(costs(artifacts_dir.parent), artifacts_dir, verdict.seeds)


def _record_seeds(client: mlflow.MlflowClient, artifacts_dir: Path, experiment_id: str, parent_id: str) -> None:
    verdict = Verdict.load(artifacts_dir / "verdict.json")
    results = [ArmResult.load(artifacts_dir / folder / "result.json") for folder in ARM_FOLDERS.values()]
    costs_by_arm = _costs_of(artifacts_dir, verdict)
    by_run = dict(list(read_curves(artifacts_dir).groupby(["arm", "seed"])))
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


def _record_model(artifacts_dir: Path) -> None:
    export = Export.load(artifacts_dir / "export.json")
    if not export.exported:
        return
    folder = artifacts_dir / MODEL_FOLDERS[Verdict.load(artifacts_dir / "verdict.json").shown_arm]
    mlflow.log_artifacts(str(folder), artifact_path=WEIGHTS_FOLDER)
    mlflow.set_tag(SHA256_TAG, sha256_of_file(folder / WEIGHTS_FILE))
    model = onnx.load(artifacts_dir / "onnx" / "model.onnx")
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
    """
    Raises:
        ContentChangedError: the ONNX file that MLflow holds is not the one that was held against PyTorch.
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
