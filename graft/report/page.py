"""The report as one HTML file that loads no other file: K classes."""

from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from graft.core.arms import BASELINE
from graft.data.profile import Profile
from graft.data.reading import remedies_of
from graft.examination.result import Examination
from graft.experiment.result import ArmResult
from graft.inspection.result import Inspection, SuspectKind, SuspectList
from graft.modalities.image.modality import ImageModality
from graft.networks.model_config import ModelConfig
from graft.report import examination_figures, figures
from graft.report.headline import advice, in_numbers, verdict_sentence
from graft.report.images import DuplicatePair, Mistake, Suspect, Thumbnail
from graft.report.label_curves import label_curves
from graft.report.numbers import decimals, decimals_range, p_value, percent, percent_range, points, points_range
from graft.selection.result import Selection
from graft.serving.recipe import RECIPE
from graft.serving.result import Export
from graft.transfer.labels_saved import LabelsSaved
from graft.transfer.ledger import choices_in_words, uses_in_words
from graft.transfer.verdict import Verdict
from graft.validation.result import Change, Expectation, Validation

MAX_CLASSES_IN_TABLE = 20
"""Largest number of classes in a table; with more, the confusion matrix is a heat map, and confusions are listed."""
MAX_CLASSES_WITH_SAMPLES = 10
NUM_CONFUSIONS = 15
FEW_TEST_USES = 5
"""Number of verdicts on one test split above which the page reports it at the top."""
SUSPECT_TITLES: dict[SuspectKind, str] = {
    "label": "Labels that may be wrong",
    "outlier": "Outliers",
    "dark": "Darkest images",
    "bright": "Brightest images",
    "blurry": "Blurriest images",
}


@dataclass(frozen=True)
class ReportContent:
    profile: Profile
    validation: Validation
    change: Change
    selection: Selection
    inspection: Inspection
    pairs: list[DuplicatePair]
    """Duplicates and look-alikes, those to review first."""
    listed_pairs: pd.DataFrame
    """Rows of duplicates.csv, more than `pairs`."""
    num_pairs: dict[str, int]
    """Number of pairs by kind."""
    suspects: dict[str, list[Suspect]]
    """First entries of each list, by kind."""
    transfer: ArmResult
    baseline: ArmResult
    curves: pd.DataFrame
    """Learning curves of both arms: arm, seed, epoch, train_loss, validation_loss, validation_accuracy."""
    verdict: Verdict
    labels: LabelsSaved
    model: ModelConfig
    confusion: pd.DataFrame
    """Columns label and predicted of each test item, by the kept model."""
    mistakes: list[Mistake]
    examination: Examination
    samples: dict[str, list[Thumbnail]]
    """Training images by class; the page shows the first `MAX_CLASSES_WITH_SAMPLES` classes."""
    export: Export
    onnx_href: str
    """Address of the ONNX file, relative to the page."""
    data_docs_href: str
    versions: dict[str, str]
    hashes: dict[str, str]
    """sha256 by name of the file."""


@dataclass(frozen=True)
class ClassScore:
    name: str
    num_items: int
    num_correct: int
    recall: float | None
    """Share of the class's items that are predicted as it, 0..1; None if the test split has none."""
    precision: float | None
    """Share of the predictions of this class that are correct, 0..1; None if the model never predicts it."""


def render_report(content: ReportContent) -> str:
    """Page as HTML. The function is pure: equal contents give equal text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent, "percent_range": percent_range, "points": points, "points_range": points_range,
        "thousands": "{:,}".format, "decimals": decimals, "decimals_range": decimals_range,
    }  # fmt: skip
    counts_KK = confusion_counts(content.confusion, content.model.classes)
    has_many_classes = len(content.model.classes) > MAX_CLASSES_IN_TABLE
    return environment.get_template("template.html").render(
        content=content,
        how=BASELINE.how,
        badge=content.verdict.badge,
        sentence=verdict_sentence(content.verdict, content.transfer.source),
        advice=advice(content.verdict, content.examination, content.transfer.source),
        test_uses=uses_in_words(content.verdict),
        test_choices=choices_in_words(content.verdict),
        has_many_uses=content.verdict.num_test_uses > FEW_TEST_USES,
        rows=in_numbers(content.verdict, content.transfer, content.baseline, content.examination, content.labels),
        level=f"{100 * (1 - content.verdict.alpha):g}\N{NO-BREAK SPACE}%",
        mcnemar_p=p_value(content.verdict.mcnemar_p),
        counts_KK=None if has_many_classes else counts_KK.tolist(),
        confusions=largest_confusions(counts_KK, content.model.classes) if has_many_classes else [],
        class_scores=class_scores(content.confusion, content.model.classes),
        num_wrong=int((content.confusion["label"] != content.confusion["predicted"]).sum()),
        totals=class_totals(content.profile),
        suspect_titles=SUSPECT_TITLES,
        remedies=remedies_of(ImageModality()),
        list_sentences={found.kind: list_sentence(found, content.inspection) for found in content.inspection.lists},
        expectations=failed_first([*content.validation.expectations, *content.change.expectations]),
        samples=dict(list(content.samples.items())[:MAX_CLASSES_WITH_SAMPLES]),
        settings=settings_of_both(content.transfer, content.baseline),
        findings=[
            (arm.arm, found)
            for arm in (content.transfer, content.baseline)
            for found in content.verdict.findings_of(arm.arm, arm.findings)
        ],
        plots=_plots(content, counts_KK, has_heatmap=has_many_classes),
        max_bars=figures.MAX_BARS,
        recipe=RECIPE,
    )


def list_sentence(found: SuspectList, inspection: Inspection) -> str:
    """Sentences on what a list of the inspection ranks, among how many images, and how many of them are suspicious."""
    features = f"frozen features of {inspection.source}"
    by = {
        "label": f"by the probability of their label, from a linear probe on {features} that was not trained on them "
        f"({inspection.num_folds} folds)",
        "outlier": f"by their distance to the ten nearest neighbours in the {features}",
        "dark": "by how dark they are, from 0 (black) to 1 (white)",
        "bright": "by how bright they are, from 0 (black) to 1 (white)",
        "blurry": "by how little fine structure they have for their brightness; smooth objects look blurry too",
    }[found.kind]
    suspicious = (
        f"Wrong labels, as estimated by confident learning: about {found.num_suspicious:,}"
        if found.kind == "label"
        else f"More than 3.5 robust standard deviations from the median: {found.num_suspicious:,}"
    )
    return f"{found.num_ranked:,} images ranked {by}. {suspicious}. Listed: {found.num_listed:,}."


def failed_first(expectations: list[Expectation]) -> list[Expectation]:
    return sorted(expectations, key=lambda item: (item.passed, item.level != "error"))


def class_totals(profile: Profile) -> dict[str, int]:
    return {name: sum(of_split[name] for of_split in profile.counts.values()) for name in profile.classes}


def confusion_counts(confusion: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Confusion matrix [K, K]: rows are true classes, columns predicted ones, in the order of `classes`.

    Predictions without a class (`graft.experiment.seeds.predictions_table`) are in no column.
    """
    table = pd.crosstab(confusion["label"], confusion["predicted"])
    return table.reindex(index=classes, columns=classes, fill_value=0).to_numpy()


def class_scores(confusion: pd.DataFrame, classes: list[str]) -> list[ClassScore]:
    counts_KK = confusion_counts(confusion, classes)
    correct_K, predicted_K = counts_KK.diagonal(), counts_KK.sum(axis=0)
    items_K = confusion["label"].value_counts().reindex(classes, fill_value=0)
    return [
        ClassScore(name, int(items), int(correct), _share(correct, items), _share(correct, predicted))
        for name, correct, items, predicted in zip(classes, correct_K, items_K, predicted_K, strict=True)
    ]


def largest_confusions(counts_KK: np.ndarray, classes: list[str]) -> list[tuple[str, str, int]]:
    """Most frequent errors first: (true class, predicted class, number of items)."""
    errors = [
        (classes[true], classes[predicted], int(counts_KK[true, predicted]))
        for true, predicted in zip(*np.nonzero(counts_KK), strict=True)
        if true != predicted
    ]
    return sorted(errors, key=lambda error: -error[2])[:NUM_CONFUSIONS]


def settings_of_both(transfer: ArmResult, baseline: ArmResult) -> list[tuple[str, str, str]]:
    """Settings in the order of the artifact: (name, transfer's value, baseline's value); a dash if an arm has none."""
    names = dict.fromkeys([*transfer.settings, *baseline.settings])
    return [(name, _setting(transfer.settings.get(name)), _setting(baseline.settings.get(name))) for name in names]


def _plots(content: ReportContent, counts_KK: np.ndarray, *, has_heatmap: bool) -> dict[str, str]:
    verdict, curves, selection = content.verdict, content.curves, content.selection
    has_trials = any(score.trial for score in selection.ranking)
    return {
        "gain": figures.gain_forest(verdict),
        "accuracy": figures.accuracy_by_seed(verdict, content.transfer.majority_accuracy),
        "labels": label_curves(content.labels) if content.labels.needed else "",
        "validation_accuracy": figures.learning_curves(curves, "validation_accuracy", "validation accuracy"),
        "validation_loss": figures.learning_curves(curves, "validation_loss", "validation loss"),
        "reliability": examination_figures.reliability(content.examination),
        "severity": examination_figures.accuracy_by_severity(content.examination),
        "confusion": figures.confusion_heatmap(counts_KK) if has_heatmap else "",
        "balance": figures.class_balance(content.profile.counts, content.profile.classes),
        "probes": figures.source_probes(selection.ranking, selection.chosen),
        "trials": figures.source_trials(selection.ranking, selection.chosen) if has_trials else "",
        "cost": figures.cost_against_accuracy(selection.ranking, selection.chosen),
    }


def _setting(value: float | int | str | None) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
