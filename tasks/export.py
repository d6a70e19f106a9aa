"""export: model, verdict -> onnx/ (ONNX file, model card), export.json; a rejected model is refused"""

import shutil

from graft.core.artifacts import ARM_FOLDERS, MODEL_FOLDERS, hash_inputs
from graft.core.config import Params
from graft.core.errors import ParityError
from graft.core.files import sha256_of_file, write_text
from graft.core.table_files import read_parquet
from graft.data.profile import Profile
from graft.experiment.result import ArmResult
from graft.networks.model_config import ModelConfig
from graft.selection.result import Selection
from graft.serving.card import CardContent, render_card
from graft.serving.onnx import check_parity, export_onnx
from graft.serving.result import Export
from graft.serving.served import load_model
from graft.transfer.verdict import Verdict
from tasks.stage import ARTIFACTS, DATA, run_stage


def export(params: Params) -> None:
    folder = ARTIFACTS / "onnx"
    shutil.rmtree(folder, ignore_errors=True)
    verdict = Verdict.load_verified(ARTIFACTS, "verdict.json")
    if verdict.is_rejected:
        record = _refusal(verdict, params.export.opset)
        write_text(folder / "REFUSED.txt", record.reason + "\n")
        print(f"not exported: {record.reason}")
    else:
        record = _export(params, verdict)
        print(
            f"{folder}/model.onnx: {record.num_agreeing} of {record.num_compared} test pictures get the same class "
            f"as in PyTorch, probabilities differ by {record.max_probability_difference:.1e} at most"
        )
    record.save(ARTIFACTS / "export.json")
    if record.exported:
        write_text(folder / "MODEL_CARD.md", _card(verdict))


def _export(params: Params, verdict: Verdict) -> Export:
    arm = verdict.shown_arm
    path = ARTIFACTS / "onnx" / "model.onnx"
    model, config = load_model(ARTIFACTS / MODEL_FOLDERS[arm])
    export_onnx(model, config, path, opset=params.export.opset)
    predictions = read_parquet(ARTIFACTS / ARM_FOLDERS[arm] / "predictions.parquet")
    try:
        parity = check_parity(
            path,
            DATA,
            predictions[predictions["seed"] == config.seed],
            config.classes,
            max_probability_difference=params.export.max_probability_difference,
            background=config.background,
        )
    except ParityError:
        path.unlink()  # a file that failed its proof must not lie where one that passed it would
        raise
    return Export(
        inputs=hash_inputs(ARTIFACTS, "verdict.json"),
        exported=True,
        reason=verdict.decision,
        num_compared=parity.num_compared,
        num_agreeing=parity.num_agreeing,
        max_probability_difference=parity.max_probability_difference,
        onnx_sha256=sha256_of_file(path),
        onnx_bytes=path.stat().st_size,
        opset=params.export.opset,
    )


def _card(verdict: Verdict) -> str:
    return render_card(
        CardContent(
            profile=Profile.load(ARTIFACTS / "profile.json"),
            selection=Selection.load_verified(ARTIFACTS, "selection.json"),
            model=ModelConfig.load(ARTIFACTS / MODEL_FOLDERS[verdict.shown_arm] / "config.json"),
            transfer=ArmResult.load_verified(ARTIFACTS, "finetune/result.json"),
            scratch=ArmResult.load_verified(ARTIFACTS, "scratch/result.json"),
            verdict=verdict,
            export=Export.load(ARTIFACTS / "export.json"),
        )
    )


def _refusal(verdict: Verdict, opset: int) -> Export:
    return Export(
        inputs=hash_inputs(ARTIFACTS, "verdict.json"),
        exported=False,
        reason=f"{verdict.claim} {verdict.decision}",
        num_compared=0,
        num_agreeing=0,
        max_probability_difference=0.0,
        onnx_sha256="",
        onnx_bytes=0,
        opset=opset,
    )


if __name__ == "__main__":
    run_stage(export)
