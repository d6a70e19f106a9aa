"""A small synthetic run, as the report gets it."""

import dataclasses
from typing import Any

import pandas as pd
from examinations import an_examination

from graft.core.artifacts import Interval
from graft.data.profile import Profile
from graft.experiment.result import ArmResult
from graft.inspection.result import Inspection, SuspectList
from graft.networks.model_config import ModelConfig
from graft.report.images import DuplicatePair, Mistake, Suspect, Thumbnail
from graft.report.page import ReportContent
from graft.selection.result import Selection, SourceScore, TrialResult
from graft.serving.card import CardContent
from graft.serving.result import Export
from graft.training.recipe import Phase, Recipe
from graft.transfer.labels_saved import LabelCount, LabelsSaved, NeededLabels, claim_of
from graft.transfer.verdict import AgainstLonger, ArmScore, PartGain, Verdict, WeakestClass
from graft.validation.result import Change, ChangedQuantity, Expectation, Validation

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="
GAINS = {
    "positive": (5.0, 3.0, 7.0),
    "equivalent": (0.1, -0.3, 0.4),
    "inconclusive": (0.4, -1.2, 2.0),
    "negative": (-4.0, -6.0, -2.0),
}


RECIPE = Recipe(
    (Phase(0, 4.0, backbone_learning_rate=0.001, head_learning_rate=0.01),),
    batch_size=16, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.2,
)  # fmt: skip


def content_of(
    *,
    classes: tuple[str, ...] = ("cat", "dog"),
    verdict: Any = "positive",
    has_converged: bool = True,
    longer_ratio: float | None = None,
) -> ReportContent:
    labels = [classes[index % len(classes)] for index in range(8 * len(classes))]
    predicted = [classes[0] if index % 5 == 0 else label for index, label in enumerate(labels)]
    exported = verdict != "negative"
    return ReportContent(
        profile=Profile(
            quarantine_codes={},
            classes=list(classes), num_samples=len(classes) * 60, num_unlabelled=0, num_quarantined=1, num_duplicates=2,
            num_leaks=0, num_not_described=0,
            counts={split: dict.fromkeys(classes, 20) for split in ("train", "validation", "test")},
            quarantined={"broken.png": "unreadable"},
            notes=["60 label(s) of data with surrounding blanks: 'cat ' is read as 'cat'"],
        ),
        validation=validation_of(passed=True, observed="0"),
        change=_change(),
        selection=_selection(),
        inspection=_inspection(),
        pairs=[
            DuplicatePair(Thumbnail("a.png and b.png", "", PIXEL), "near", 0.987, (classes[0], ""), ("train", "test"))
        ],
        listed_pairs=pd.DataFrame(
            [("near", 0.987, "a.png", classes[0], "train", "b.png", "", "test")],
            columns=["kind", "similarity", "path_a", "label_a", "split_a", "path_b", "label_b", "split_b"],
        ),
        num_pairs={"near": 3},
        suspects={
            "label": [Suspect(Thumbnail("s.png", classes[1], PIXEL), classes[0], 0.03, "the probe says so")],
            "dark": [Suspect(Thumbnail("d.png", classes[1], PIXEL), "", 4.2, "brightness 5%")],
        },
        transfer=_arm("transfer", 0.9, has_converged=True),
        baseline=_arm("baseline", 0.8, has_converged=has_converged),
        curves=_curves(),
        verdict=_verdict(verdict, has_converged, longer_ratio),
        labels=labels_of(),
        model=ModelConfig(
            source="cats", architecture="small_net", classes=list(classes), image_size_px=32,
            mean=[0, 0, 0], std=[1, 1, 1], channel_order="rgb", views=["identity"], dropout=0.1, seed=1,
            licence="MIT", weights_sha256="a" * 64,
        ),
        confusion=pd.DataFrame({"label": labels, "predicted": predicted}),
        examination=an_examination(),
        mistakes=[Mistake(Thumbnail("m.png", classes[1], PIXEL), predicted=classes[0], probability=0.97)],
        samples={name: [Thumbnail(f"{index}.png", name, PIXEL)] for index, name in enumerate(classes)},
        export=Export(
            exported=exported, reason="the transfer is not negative" if exported else "Starting from cats is worse.",
            num_compared=40, num_agreeing=40, max_probability_difference=1e-6, onnx_sha256="b" * 64, onnx_bytes=10**6,
            opset=20, inputs={},
        ),
        onnx_href="onnx/model.onnx",
        data_docs_href="validation/data_docs/index.html",
        versions={"python": "3.11"},
        hashes={"params.yaml": "c" * 64},
    )  # fmt: skip


def card_content_of(content: ReportContent) -> CardContent:
    """The same run, as the model card gets it."""
    names = [field.name for field in dataclasses.fields(CardContent)]
    return CardContent(**{name: getattr(content, name) for name in names})


def validation_of(*, passed: bool, observed: str) -> Validation:
    expectation = Expectation(sentence="it holds", level="error", passed=passed, observed=observed)
    return Validation(inputs={}, passed=passed, expectations=[expectation])


def _inspection() -> Inspection:
    return Inspection(
        inputs={}, source="cats", num_samples=1200, num_embedded=1000, num_folds=5,
        lists=[
            SuspectList(kind="label", num_ranked=1000, num_listed=100, num_suspicious=7),
            SuspectList(kind="dark", num_ranked=1200, num_listed=50, num_suspicious=3),
        ],
    )  # fmt: skip


def _change() -> Change:
    warning = Expectation(
        sentence="widths keep", level="warning", passed=False, observed="PSI 0.3", examples=["a.png", "b.png"]
    )
    quantity = ChangedQuantity(
        quantity="label_share", statistic=0.3, threshold=0.1, num_accepted=900, num_compared=100, details="much changed"
    )
    return Change(inputs={}, expectations=[warning], quantities=[quantity])


def _selection() -> Selection:
    ranking = [
        SourceScore(
            name=name, description="", domain="pictures", dataset="photos", licence="MIT", weights_sha256="a" * 64,
            num_parameters=10**6, gflops=0.5, probe=Interval(mean=mean, low=mean - 0.02, high=mean + 0.02),
            knn_accuracy=mean - 0.1, scores={"logme": 0.3}, 
            distance={"batchnorm_shift": 0.5, "mmd_squared": 0.3, "mmd_p": 0.001},
            trial=None if dropped else _trial(1 - mean), tflops_spent=0.7, dropped=dropped,
        )
        for name, mean, dropped in (("cats", 0.8, ""), ("lions", 0.78, ""), ("dogs", 0.7, "by the probe"))
    ]  # fmt: skip
    return Selection(
        inputs={}, chosen="cats", runner_up="lions", lead=Interval(mean=0.02, low=-0.01, high=0.05), is_separated=False,
        reason="the default", image_size_px=64, num_samples=50, num_units=40, num_folds=5, num_repeats=1,
        confidence=0.8, out_of_time=[], ranking=ranking, excluded={"wolves": "licence none is not in select.licences"},
    )  # fmt: skip


def _trial(loss: float) -> TrialResult:
    return TrialResult(
        num_steps=40,
        num_held_out=30,
        loss=Interval(mean=loss, low=loss - 0.1, high=loss + 0.1),
        accuracy=Interval(mean=1 - loss, low=0.9 - loss, high=1.0),
    )


def _arm(arm: Any, accuracy: float, *, has_converged: bool) -> ArmResult:
    return ArmResult(
        inputs={}, arm=arm, source="cats" if arm == "transfer" else "random weights", seeds=[0, 1], num_train=100,
        num_validation=20, num_test=40,
        validation_accuracy_per_seed=[accuracy, accuracy + 0.01], validation_loss_per_seed=[0.4, 0.3],
        majority_accuracy=0.6, num_epochs=4,
        training_tflops_per_seed=0.5, has_converged=has_converged,
        convergence="converged" if has_converged else "not converged", recipe=RECIPE, settings={"num_epochs": 4},
        num_trials=0,
    )  # fmt: skip


def _part(name: str, verdict: Any, gain: float) -> PartGain:
    return PartGain(
        name=name, num_items=20, num_units=20, transfer_accuracy=0.8, baseline_accuracy=0.8 - gain / 100,
        verdict=verdict,
        gain_points=Interval(mean=gain, low=gain - 3, high=gain + 3),
    )  # fmt: skip


def _score(accuracy: float) -> ArmScore:
    return ArmScore(
        accuracy=Interval(mean=accuracy, low=accuracy - 0.03, high=accuracy + 0.03),
        accuracy_per_seed=[accuracy - 0.01, accuracy, accuracy + 0.01],
        shipped_seed=1,
        shipped_accuracy=Interval(mean=accuracy, low=accuracy - 0.05, high=accuracy + 0.05),
        collapsed_seeds=[],
        num_trials=0,
    )


def _verdict(verdict: Any, has_converged: bool, longer_ratio: float | None) -> Verdict:
    mean, low, high = GAINS[verdict]
    return Verdict(
        inputs={}, verdict=verdict, claim="The claim.", exported_arm="nothing" if verdict == "negative" else "transfer",
        decision="The decision.", tries_next=False, 
        against_longer=None if longer_ratio is None else _against_longer(longer_ratio),
        gain_points=Interval(mean=mean, low=low, high=high), alpha=0.05,
        num_test_uses=1, alpha_is_shared=False, alpha_of_all_uses=0.05, test_split_choices=[],
        level=0.04, margin_points=0.5, seeds=[0, 1, 2], max_seeds=5, num_test=40,
        scores={"transfer": _score(0.9), "baseline": _score(0.8)},
        parts={"class": [_part("cat", "positive", 9), _part("dog", "negative", -4)], "domain": [], "group": []},
        gain_points_per_seed=[mean - 1, mean, mean + 1],
        weakest_class=WeakestClass(
            name="dog", recall=Interval(mean=0.7, low=0.46, high=0.87), num_items=20, num_units=20, untested=[]
        ),
        seed_spread_points=1, smallest_detectable_points=3.2, seeds_needed=None, units_needed=None, mcnemar_p=0.012,
        num_units=40, improvement=Interval(mean=0.95, low=0.6, high=0.99), share_of_pairs=1.0,
        shipped_gain_points=Interval(mean=mean, low=low - 1, high=high + 1), unexaggerated_points=mean,
        num_only_transfer_right=9, num_only_baseline_right=4, compute_ratio=1.3, baseline_has_converged=has_converged,
    )  # fmt: skip


def _against_longer(ratio: float) -> AgainstLonger:
    gain = Interval(mean=1, low=-1, high=3)
    return AgainstLonger(
        budget_ratio=ratio, has_converged=True, convergence="more training no longer helps", num_seeds=2,
        baseline_accuracy=Interval(mean=0.85, low=0.8, high=0.9), gain_points=gain, verdict="inconclusive",
        claim="Trained for longer.",
    )  # fmt: skip


def labels_of() -> LabelsSaved:
    counts = [
        LabelCount(
            num_labels=number, accuracy={"transfer": _score(0.9).accuracy, "baseline": _score(0.8).accuracy},
            accuracy_per_seed={"transfer": [0.9, 0.9], "baseline": [0.8, 0.8]},
            curve={"transfer": 0.9, "baseline": 0.8},
        )
        for number in (250, 1000)
    ]  # fmt: skip
    needed = NeededLabels(fewest=250, all=1000, labels=400, low=250, high=None)
    return LabelsSaved(
        inputs={}, claim=claim_of(needed), alpha=0.05, seeds=[0, 1], num_test=40, num_test_units=40, counts=counts,
        needed=needed, skipped={"0.01": "10 training samples are less than one batch of 16"},
    )  # fmt: skip


def _curves() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": arm, "seed": seed, "epoch": epoch, "train_loss": 1 / epoch, "validation_loss": 1.2 / epoch,
            "validation_accuracy": 0.5 + 0.05 * epoch + 0.01 * seed,
        }
        for arm, num_epochs in (("transfer", 4), ("baseline", 6)) for seed in range(3) for epoch in range(1, num_epochs)
    )  # fmt: skip
