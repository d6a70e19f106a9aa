"""The report page, on small synthetic artifacts."""

import dataclasses
import functools
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from examinations import an_examination
from PIL import Image

from graft.artifacts import (
    ArmResult,
    Change,
    ChangedQuantity,
    Expectation,
    Export,
    Inspection,
    Interval,
    ModelConfig,
    Profile,
    Selection,
    SourceScore,
    SuspectList,
    TrainingFinding,
    Trial,
    Validation,
)  # fmt: skip
from graft.errors import ContentChangedError
from graft.report.page import ReportContent, class_scores, confusion_counts, render_report
from graft.report.pictures import (
    DuplicatePair,
    Mistake,
    Suspect,
    Thumbnail,
    confident_mistakes,
    first_suspects,
    sample_thumbnails,
)  # fmt: skip
from graft.transfer.labels_saved import LabelCount, LabelsSaved, NeededLabels, claim_of
from graft.transfer.verdict import ArmScore, PartGain, Verdict

pytestmark = pytest.mark.unit

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="
SECTIONS = [
    "The gain", "Learning curves", "Where the model is right and wrong", "The most confident mistakes",
    "Calibration and robustness", "The data", "A look at the data", "The choice of the source", "The model",
    "Versions and hashes",
]  # fmt: skip
GAINS = {
    "positive": (5.0, 3.0, 7.0),
    "equivalent": (0.1, -0.3, 0.4),
    "inconclusive": (0.4, -1.2, 2.0),
    "negative": (-4.0, -6.0, -2.0),
}


def test_every_section_has_its_heading_in_order() -> None:
    assert _texts(_page(), "h2") == SECTIONS


@pytest.mark.parametrize("num_classes", [2, 30])
def test_the_page_loads_nothing_from_anywhere(num_classes: int) -> None:
    page = _page(classes=_numbered(num_classes))
    assert "http:" not in page
    assert "https:" not in page
    loaded = re.findall(r'(?:src|(?<!xlink:)href)="([^"]*)"|url\(([^)]*)\)|@import (\S+)', page)
    addresses = {address for found in loaded for address in found if address}
    outside = {address for address in addresses if not address.startswith(("data:", "#"))}
    assert outside == {"onnx/model.onnx", "validation/data_docs/index.html"}
    assert "<script" not in page
    assert "<link" not in page


@pytest.mark.parametrize("num_classes", [2, 30])
def test_equal_inputs_give_equal_bytes(num_classes: int) -> None:
    classes = _numbered(num_classes)
    assert render_report(_content(classes=classes)) == render_report(_content(classes=classes))


def test_markup_in_names_is_shown_and_never_run() -> None:
    hostile = '<script>alert("1")</script> & $x$ id="y" 猫'
    page = _page(classes=(hostile, "values"))
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(") >= 5
    assert "$x$" in page


@pytest.mark.parametrize(
    ("verdict", "badge"),
    [
        ("positive", "ACCEPTED: positive transfer"),
        ("equivalent", "EQUIVALENT: no difference that matters"),
        ("inconclusive", "INCONCLUSIVE: no gain is shown"),
        ("negative", "REJECTED: negative transfer"),
    ],
)
def test_the_verdict_is_a_badge_in_words(verdict: str, badge: str) -> None:
    page = _page(verdict=verdict)
    assert _texts(page, "span")[0] == badge
    assert _texts(page, "title") == [f"Graft report: {badge}"]


def test_a_negative_verdict_is_shown_as_rejected_and_says_why_there_is_no_onnx_file() -> None:
    page = _page(verdict="negative")
    assert "The graft did not take" in page
    assert page.count("No ONNX file was written.</strong> Starting from cats is worse.") == 2
    assert "onnxruntime.InferenceSession" not in page
    assert 'href="onnx/' not in page


def test_the_labels_that_are_saved_are_told_in_a_sentence_and_drawn() -> None:
    page = " ".join(_page().split())
    sentence = (
        "With 400 of 1,000 labels transfer is as accurate as training from scratch with all of them: 60 % fewer "
        "[none to 75 % or more], a factor of 2.5."
    )
    assert f"<p>{sentence}</p>" in page
    assert 'aria-label="Test accuracy of transfer and scratch: 250 labels 90.0% and 80.0%' in page
    assert "0.01 of the labels was left out: 10 training samples are less than one batch of 16." in page


def test_where_no_labels_were_counted_the_page_says_so() -> None:
    off = _labels().model_copy(update={"needed": None, "claim": claim_of(None), "counts": _labels().counts[1:]})
    page = render_report(dataclasses.replace(_content(), labels=off))
    assert "both arms were trained with all labels only" in page
    assert "Test accuracy by the number of labels" not in page


def test_a_scratch_arm_that_has_not_converged_is_admitted_at_the_top() -> None:
    top = _page(has_converged=False).split("<h2>")[0]
    assert "1.30 times the training compute" in top
    assert "A longer training from scratch could change the gain. n = 3 seeds × 40 test items" in " ".join(top.split())
    assert "could change the gain" not in _page(has_converged=True)


@pytest.mark.parametrize("num_classes", [2, 10, 20])
def test_up_to_twenty_classes_the_confusion_matrix_has_numbers(num_classes: int) -> None:
    page = _page(classes=_numbered(num_classes))
    assert page.count('<td style="--share') == num_classes**2
    assert "Most frequent errors" not in page


def test_a_hundred_classes_give_a_heat_map_its_largest_errors_and_samples_of_ten() -> None:
    page = _page(classes=_numbered(100))
    assert '<td style="--share' not in page
    assert "Most frequent errors" in page
    assert page.count("<h3>Samples: ") == 10
    assert "Shown are 10 of 100 classes" in page


def test_every_picture_and_plot_has_a_text_alternative() -> None:
    page = _page()
    images, plots = re.findall(r"<img [^>]*>", page), re.findall(r"<svg [^>]*>", page)
    assert len(images) == 6
    assert all(re.search(r'alt="[^"]+"', tag) for tag in images)
    assert len(plots) == 11
    assert all(re.search(r'role="img" aria-label="[^"]+"', tag) for tag in plots)


def test_no_id_occurs_twice() -> None:
    ids = re.findall(r'\bid="([^"]+)"', _page())
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


def test_a_failed_expectation_is_named_in_words() -> None:
    page = render_report(dataclasses.replace(_content(), validation=_validation(passed=False, observed="3 fail")))
    assert "Validation: failed" in page
    assert "<td>it holds</td><td><strong>FAILED</strong></td><td>3 fail</td>" in page


def test_a_warning_is_shown_with_its_examples_and_the_change_that_caused_it() -> None:
    page = _page()
    assert "Validation: passed, 1 warning<" in page
    assert "<td><strong>warning</strong></td><td>PSI 0.3<br>" in page
    assert "a.png</small>" in page
    assert "<td>label share</td>" in page
    assert "much changed" in page


def test_recall_and_precision_come_from_the_confusion_counts() -> None:
    confusion = pd.DataFrame({"label": ["a", "a", "b", "c"], "predicted": ["a", "b", "b", "b"]})
    scores = class_scores(confusion_counts(confusion, ["a", "b", "c", "d"]), ["a", "b", "c", "d"])
    assert [(score.recall, score.precision) for score in scores] == [(0.5, 1), (1, 1 / 3), (0, None), (None, None)]


def test_the_surest_mistakes_come_first(tmp_path: Path) -> None:
    table = _pictures(tmp_path, 4).assign(label="a", predicted=["b", "b", "a", "b"])
    table["probability_a"], table["probability_b"] = [0.4, 0.1, 0.9, 0.2], [0.6, 0.9, 0.1, 0.8]
    mistakes = confident_mistakes(tmp_path, table, 2)
    assert [(mistake.picture.path, mistake.probability) for mistake in mistakes] == [("1.png", 0.9), ("3.png", 0.8)]


def test_the_look_at_the_data_says_what_each_list_ranks_and_that_the_test_split_is_left_alone() -> None:
    look = " ".join(_page().split("A look at the data")[1].split("<h2>")[0].split())
    assert "1,200 training and validation pictures" in look
    assert "The test split is left alone" in look
    assert "Labels and outliers: 1,000 pictures" in look
    assert "1,000 pictures ranked by the probability of their label, from a linear probe" in look
    assert "About 7 labels are wrong, as confident learning estimates. Listed: 100." in look
    assert "3 lie beyond the median by more than 3.5 robust standard deviations. Listed: 50." in look
    assert "label <strong>dog</strong>,<br>or <strong>cat</strong>?<br>the probe says so" in look


def test_the_first_of_each_list_are_shown_in_its_order(tmp_path: Path) -> None:
    table = _pictures(tmp_path, 4).assign(label="007", suggested_label="", score=1.0, words="w")
    table = table.assign(kind=["label", "label", "label", "dark"], rank=[1, 2, 3, 1])
    shown = first_suspects(tmp_path, table, 2)
    paths = {kind: [suspect.picture.path for suspect in suspects] for kind, suspects in shown.items()}
    assert paths == {"label": ["0.png", "1.png"], "dark": ["3.png"]}


def test_samples_are_training_pictures_in_the_order_of_their_hash(tmp_path: Path) -> None:
    table = _pictures(tmp_path, 6).assign(label="a", status="ok", split=["train"] * 5 + ["test"])
    shown = sample_thumbnails(tmp_path, table, ["a"], 3)["a"]
    assert [picture.path for picture in shown] == list(table[:5].sort_values("sample_id")["path"][:3])
    assert all(picture.data_uri.startswith("data:image/jpeg;base64,") for picture in shown)


def test_a_picture_that_changed_since_ingest_is_refused(tmp_path: Path) -> None:
    table = _pictures(tmp_path, 1).assign(label="a", status="ok", split="train")
    (tmp_path / "0.png").write_bytes(b"other")
    with pytest.raises(ContentChangedError, match=r"0\.png"):
        sample_thumbnails(tmp_path, table, ["a"], 1)


@functools.cache
def _page(**changes: Any) -> str:
    return render_report(_content(**changes))


def _numbered(num_classes: int) -> tuple[str, ...]:
    return tuple(f"class {index:03}" for index in range(num_classes))


def _content(
    *, classes: tuple[str, ...] = ("cat", "dog"), verdict: Any = "positive", has_converged: bool = True
) -> ReportContent:
    labels = [classes[index % len(classes)] for index in range(8 * len(classes))]
    predicted = [classes[0] if index % 5 == 0 else label for index, label in enumerate(labels)]
    exported = verdict != "negative"
    return ReportContent(
        profile=Profile(
            classes=list(classes), num_samples=len(classes) * 60, num_unlabelled=0, num_quarantined=1, num_duplicates=2,
            num_leaks=0, num_not_described=0,
            counts={split: dict.fromkeys(classes, 20) for split in ("train", "validation", "test")},
            quarantined={"broken.png": "unreadable"},
        ),
        validation=_validation(passed=True, observed="0"),
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
        scratch=_arm("scratch", 0.8, has_converged=has_converged),
        curves=_curves(),
        verdict=_verdict(verdict, has_converged=has_converged),
        labels=_labels(),
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


def _validation(*, passed: bool, observed: str) -> Validation:
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
        reason="the cheaper one", image_size_px=64, num_samples=50, num_folds=5, num_repeats=1, confidence=0.8,
        out_of_time=[], ranking=ranking, excluded={"wolves": "licence none is not in select.licences"},
    )  # fmt: skip


def _trial(loss: float) -> Trial:
    return Trial(
        num_steps=40, num_held_out=30, loss=Interval(mean=loss, low=loss - 0.1, high=loss + 0.1), accuracy=1 - loss
    )


def _arm(arm: Any, accuracy: float, *, has_converged: bool) -> ArmResult:
    return ArmResult(
        inputs={}, arm=arm, source="cats" if arm == "transfer" else "random weights", seeds=[0, 1], num_train=100,
        num_validation=20, num_test=40,
        validation_accuracy_per_seed=[accuracy, accuracy + 0.01], validation_loss_per_seed=[0.4, 0.3],
        majority_accuracy=0.6, num_epochs=4,
        training_tflops_per_seed=0.5, has_converged=has_converged,
        convergence="converged" if has_converged else "not converged", recipe="{}", settings={"num_epochs": 4},
    )  # fmt: skip


def _part(name: str, verdict: Any, gain: float) -> PartGain:
    return PartGain(
        name=name, num_items=20, transfer_accuracy=0.8, scratch_accuracy=0.8 - gain / 100, verdict=verdict,
        gain_points=Interval(mean=gain, low=gain - 3, high=gain + 3),
    )  # fmt: skip


def _score(accuracy: float) -> ArmScore:
    return ArmScore(
        accuracy=Interval(mean=accuracy, low=accuracy - 0.03, high=accuracy + 0.03),
        accuracy_per_seed=[accuracy - 0.01, accuracy, accuracy + 0.01],
    )


def _verdict(verdict: Any, *, has_converged: bool) -> Verdict:
    mean, low, high = GAINS[verdict]
    return Verdict(
        inputs={}, verdict=verdict, claim="The claim.", ships="nothing" if verdict == "negative" else "transfer",
        decision="The decision.", tries_next=False, against_converged=None,
        gain_points=Interval(mean=mean, low=low, high=high), alpha=0.05,
        level=0.04, margin_points=0.5, seeds=[0, 1, 2], max_seeds=5, num_test=40,
        scores={"transfer": _score(0.9), "scratch": _score(0.8)},
        parts={"class": [_part("cat", "positive", 9), _part("dog", "negative", -4)], "domain": [], "group": []},
        gain_points_per_seed=[mean - 1, mean, mean + 1],
        seed_spread_points=1, smallest_detectable_points=3.2, seeds_needed=None, items_needed=None, mcnemar_p=0.012,
        num_only_transfer_right=9, num_only_scratch_right=4, compute_ratio=1.3, scratch_has_converged=has_converged,
    )  # fmt: skip


def _labels() -> LabelsSaved:
    counts = [
        LabelCount(
            num_labels=number, accuracy={"transfer": _score(0.9).accuracy, "scratch": _score(0.8).accuracy},
            accuracy_per_seed={"transfer": [0.9, 0.9], "scratch": [0.8, 0.8]}, curve={"transfer": 0.9, "scratch": 0.8},
        )
        for number in (250, 1000)
    ]  # fmt: skip
    needed = NeededLabels(fewest=250, all=1000, labels=400, low=250, high=None)
    return LabelsSaved(
        inputs={}, claim=claim_of(needed), alpha=0.05, seeds=[0, 1], num_test=40, counts=counts, needed=needed,
        skipped={"0.01": "10 training samples are less than one batch of 16"},
    )  # fmt: skip


def _curves() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": arm, "seed": seed, "epoch": epoch, "train_loss": 1 / epoch, "validation_loss": 1.2 / epoch,
            "validation_accuracy": 0.5 + 0.05 * epoch + 0.01 * seed,
        }
        for arm, num_epochs in (("transfer", 4), ("scratch", 6)) for seed in range(3) for epoch in range(1, num_epochs)
    )  # fmt: skip


def _pictures(folder: Path, count: int) -> pd.DataFrame:
    for index in range(count):
        Image.fromarray(np.full((8, 12, 3), 20 * index, dtype=np.uint8)).save(folder / f"{index}.png")
    paths = [f"{index}.png" for index in range(count)]
    hashes = [hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in paths]
    return pd.DataFrame({"path": paths, "sample_id": hashes})


def _texts(page: str, tag: str) -> list[str]:
    """The text of each element of this kind."""
    return re.findall(rf"<{tag}[^>]*>([^<]*)</{tag}>", page)


def test_what_went_wrong_in_training_is_told_with_the_parameter_to_change() -> None:
    assert "no rule of the watch fired in 6 trainings" in _page()
    finding = TrainingFinding(
        seed=2, rule="overfitting", step=80, seen="loss rose by 0.4", cause="too long", parameter="finetune.num_epochs"
    )
    content = _content()
    told = dataclasses.replace(content, transfer=content.transfer.model_copy(update={"findings": [finding]}))
    page = render_report(told)
    assert "no rule of the watch fired" not in page
    assert {"overfitting", "finetune.num_epochs"} <= set(_texts(page, "code"))
    assert {"loss rose by 0.4", "too long"} <= set(_texts(page, "td"))
