"""report: everything -> report.html, one page with pictures"""

import platform
from collections import Counter
from importlib.metadata import version

from graft.core.artifacts import ARM_FOLDERS, MODEL_FOLDERS
from graft.core.config import Params
from graft.core.files import sha256_of_file, write_text
from graft.core.table_files import read_csv, read_parquet
from graft.data.manifest import read_manifest
from graft.data.profile import Profile
from graft.examination.result import Examination
from graft.experiment.result import ArmResult
from graft.inspection.result import Inspection
from graft.networks.model_config import ModelConfig
from graft.report.page import MAX_CLASSES_WITH_SAMPLES, ReportContent, render_report
from graft.report.pictures import confident_mistakes, first_suspects, pair_pictures, rank_pairs, sample_thumbnails
from graft.selection.result import Selection
from graft.serving.result import Export
from graft.transfer.labels_saved import LabelsSaved
from graft.transfer.predictions import read_curves
from graft.transfer.verdict import Verdict
from graft.validation.result import Change, Validation
from tasks.stage import ARTIFACTS, DATA, PARAMS, run_stage

PACKAGES = [
    "torch", "torchvision", "timm", "onnx", "onnxruntime", "scikit-learn", "great-expectations", "numpy", "pandas",
]  # fmt: skip
HASHED = ["manifest.parquet", *(f"{folder}/predictions.parquet" for folder in ARM_FOLDERS.values())]
ONNX = "onnx/model.onnx"
PAGE = "report.html"
MAX_LISTED_PAIRS = 200


def report(params: Params) -> None:
    profile = Profile.load(ARTIFACTS / "profile.json")
    verdict = Verdict.load_verified(ARTIFACTS, "verdict.json")
    model = ModelConfig.load(ARTIFACTS / MODEL_FOLDERS[verdict.shown_arm] / "config.json")
    export = Export.load_verified(ARTIFACTS, "export.json")
    predictions = read_parquet(ARTIFACTS / ARM_FOLDERS[verdict.shown_arm] / "predictions.parquet")
    kept_predictions = predictions[predictions["seed"] == model.seed]
    manifest = read_manifest(ARTIFACTS / "manifest.parquet")
    pairs = rank_pairs(read_csv(ARTIFACTS / "duplicates.csv", {"similarity": float}))
    suspects = read_csv(ARTIFACTS / "suspects.csv", {"rank": int, "score": float})
    content = ReportContent(
        profile=profile,
        validation=Validation.load_verified(ARTIFACTS, "validation/result.json"),
        change=Change.load_verified(ARTIFACTS, "validation/change.json"),
        selection=Selection.load_verified(ARTIFACTS, "selection.json"),
        inspection=Inspection.load_verified(ARTIFACTS, "inspection.json"),
        pairs=pair_pictures(DATA, pairs.head(params.report.num_pairs), manifest, model.background),
        listed_pairs=pairs.head(MAX_LISTED_PAIRS),
        num_pairs=Counter(pairs["kind"]),
        suspects=first_suspects(DATA, suspects, params.report.num_suspects, model.background),
        transfer=ArmResult.load_verified(ARTIFACTS, "finetune/result.json"),
        scratch=ArmResult.load_verified(ARTIFACTS, "scratch/result.json"),
        curves=read_curves(ARTIFACTS),
        verdict=verdict,
        labels=LabelsSaved.load_verified(ARTIFACTS, "labels/result.json"),
        model=model,
        confusion=kept_predictions[["label", "predicted"]],
        mistakes=confident_mistakes(DATA, kept_predictions, params.report.num_mistakes, model.background),
        examination=Examination.load_verified(ARTIFACTS, "examination.json"),
        samples=sample_thumbnails(
            DATA,
            manifest,
            profile.classes[:MAX_CLASSES_WITH_SAMPLES],
            params.report.num_samples_per_class,
            model.background,
        ),
        export=export,
        onnx_href=ONNX,
        data_docs_href="validation/data_docs/index.html",
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        hashes=_hashes(verdict, model, export),
    )
    page = render_report(content)
    write_text(ARTIFACTS / PAGE, page)
    print(f"{ARTIFACTS / PAGE}: one page of {len(page.encode()) / 1e6:.1f} MB, open it in a browser")


def _hashes(verdict: Verdict, model: ModelConfig, export: Export) -> dict[str, str]:
    names = [*HASHED, f"{MODEL_FOLDERS[verdict.shown_arm]}/model.safetensors", *([ONNX] if export.exported else [])]
    of_source = {f"weights of {model.source}": model.weights_sha256} if model.weights_sha256 else {}
    return {
        PARAMS.name: sha256_of_file(PARAMS),
        **of_source,
        **{name: sha256_of_file(ARTIFACTS / name) for name in names},
    }


if __name__ == "__main__":
    run_stage(report)
