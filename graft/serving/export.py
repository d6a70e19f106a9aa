"""Export of the ONNX file that takes raw pixels, checked against PyTorch, and its card."""

import logging
import shutil

from graft.core.arms import ARMS
from graft.core.artifacts import MODEL_CARD, ONNX_MODEL, REFUSAL
from graft.core.errors import ParityError
from graft.core.files import sha256_of_file, write_text
from graft.core.table_files import read_parquet
from graft.data.profile import Profile
from graft.experiment.result import ArmResult
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.selection.result import Selection
from graft.serving.card import CardContent, render_card
from graft.serving.onnx import check_parity, export_onnx
from graft.serving.result import Export
from graft.serving.served import load_model
from graft.transfer.verdict import Verdict

logger = logging.getLogger(__name__)


def export_model(project: Project) -> None:
    """Writes the ONNX file and the model card, or the reason why there are none: a rejected model is refused.

    Raises:
        ParityError: ONNX and PyTorch disagree.
    """
    model = project.path(ONNX_MODEL)
    shutil.rmtree(model.parent, ignore_errors=True)
    verdict = project.load(Verdict)
    if verdict.is_rejected:
        record = _refusal(project, verdict)
        write_text(project.path(REFUSAL), record.reason + "\n")
        logger.info(f"not exported: {record.reason}")
    else:
        record = _export(project, verdict)
        logger.info(
            f"{model}: {record.num_agreeing} of {record.num_compared} test images get the same class "
            f"as in PyTorch, probabilities differ by at most {record.max_probability_difference:.1e}"
        )
    project.save(record)
    if record.exported:
        write_text(project.path(MODEL_CARD), _card(project, verdict))


def _export(project: Project, verdict: Verdict) -> Export:
    params, files, path = project.params.export, ARMS[verdict.shown_arm], project.path(ONNX_MODEL)
    model, config = load_model(project.path(files.model))
    export_onnx(model, config, path, opset=params.opset)
    predictions = read_parquet(project.path(files.predictions))
    try:
        parity = check_parity(
            path,
            project.data,
            predictions[predictions["seed"] == config.seed],
            config.classes,
            max_probability_difference=params.max_probability_difference,
            background=config.background,
        )
    except ParityError:
        path.unlink()  # a file that failed the check must not be in the place of one that passed
        raise
    return Export(
        inputs=project.hashes(Verdict.NAME),
        exported=True,
        reason=verdict.decision,
        num_compared=parity.num_compared,
        num_agreeing=parity.num_agreeing,
        max_probability_difference=parity.max_probability_difference,
        onnx_sha256=sha256_of_file(path),
        onnx_bytes=path.stat().st_size,
        opset=params.opset,
    )


def _card(project: Project, verdict: Verdict) -> str:
    return render_card(
        CardContent(
            profile=project.load(Profile),
            selection=project.load(Selection),
            model=project.load(ModelConfig, ARMS[verdict.shown_arm].model),
            transfer=project.load(ArmResult, ARMS["transfer"].folder),
            baseline=project.load(ArmResult, ARMS["baseline"].folder),
            verdict=verdict,
            export=project.load(Export),
        )
    )


def _refusal(project: Project, verdict: Verdict) -> Export:
    return Export(
        inputs=project.hashes(Verdict.NAME),
        exported=False,
        reason=f"{verdict.claim} {verdict.decision}",
        num_compared=0,
        num_agreeing=0,
        max_probability_difference=0.0,
        onnx_sha256="",
        onnx_bytes=0,
        opset=project.params.export.opset,
    )
