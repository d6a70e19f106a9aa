"""Content of the report: every artifact of a run, and the images that it shows."""

import logging
import platform
from collections import Counter
from importlib.metadata import version

from graft.core.arms import ARMS
from graft.core.artifacts import DATA_DOCS, DUPLICATES, MANIFEST, ONNX_MODEL, REPORT, SUSPECTS
from graft.core.files import sha256_of_file, write_text
from graft.core.table_files import read_csv, read_parquet
from graft.data.profile import Profile
from graft.examination.result import Examination
from graft.experiment.result import ArmResult
from graft.inspection.result import Inspection
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.report.images import confident_mistakes, first_suspects, pair_thumbnails, rank_pairs, sample_thumbnails
from graft.report.page import MAX_CLASSES_WITH_SAMPLES, ReportContent, render_report
from graft.selection.result import Selection
from graft.serving.result import Export
from graft.transfer.labels_saved import LabelsSaved
from graft.transfer.predictions import read_curves
from graft.transfer.verdict import Verdict
from graft.validation.result import Change, Validation

logger = logging.getLogger(__name__)

PACKAGES = [
    "torch", "torchvision", "timm", "onnx", "onnxruntime", "scikit-learn", "great-expectations", "numpy", "pandas",
]  # fmt: skip
HASHED = [MANIFEST, *(files.predictions for files in ARMS.values())]
MAX_LISTED_PAIRS = 200


def write_report(project: Project) -> None:
    """Writes the report, one HTML page."""
    params, data = project.params.report, project.data
    profile = project.load(Profile)
    verdict = project.load(Verdict)
    shown = ARMS[verdict.shown_arm]
    model = project.load(ModelConfig, shown.model)
    export = project.load(Export)
    predictions = read_parquet(project.path(shown.predictions))
    kept_predictions = predictions[predictions["seed"] == model.seed]
    manifest = project.manifest
    pairs = rank_pairs(read_csv(project.path(DUPLICATES), {"similarity": float}))
    suspects = read_csv(project.path(SUSPECTS), {"rank": int, "score": float})
    content = ReportContent(
        profile=profile,
        validation=project.load(Validation),
        change=project.load(Change),
        selection=project.load(Selection),
        inspection=project.load(Inspection),
        pairs=pair_thumbnails(data, pairs.head(params.num_pairs), manifest, model.background),
        listed_pairs=pairs.head(MAX_LISTED_PAIRS),
        num_pairs=Counter(pairs["kind"]),
        suspects=first_suspects(data, suspects, params.num_suspects, model.background),
        transfer=project.load(ArmResult, ARMS["transfer"].folder),
        baseline=project.load(ArmResult, ARMS["baseline"].folder),
        curves=read_curves(project.artifacts),
        verdict=verdict,
        labels=project.load(LabelsSaved),
        model=model,
        confusion=kept_predictions[["label", "predicted"]],
        mistakes=confident_mistakes(data, kept_predictions, params.num_mistakes, model.background),
        examination=project.load(Examination),
        samples=sample_thumbnails(
            data,
            manifest,
            profile.classes[:MAX_CLASSES_WITH_SAMPLES],
            params.num_samples_per_class,
            model.background,
        ),
        export=export,
        onnx_href=ONNX_MODEL,
        data_docs_href=DATA_DOCS,
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        hashes=_hashes(project, verdict, model, export),
    )
    page = render_report(content)
    write_text(project.path(REPORT), page)
    logger.info(f"{project.path(REPORT)}: one page of {len(page.encode()) / 1e6:.1f} MB, open it in a browser")


def _hashes(project: Project, verdict: Verdict, model: ModelConfig, export: Export) -> dict[str, str]:
    names = [*HASHED, ARMS[verdict.shown_arm].weights, *([ONNX_MODEL] if export.exported else [])]
    of_source = {f"weights of {model.source}": model.weights_sha256} if model.weights_sha256 else {}
    return {
        project.params_file.name: sha256_of_file(project.params_file),
        **of_source,
        **project.hashes(*names),
    }
