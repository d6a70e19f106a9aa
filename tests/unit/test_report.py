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
from PIL import Image
from report_content import content_of, labels_of, validation_of

from graft.core.artifacts import Interval
from graft.core.errors import ContentChangedError
from graft.examination.result import DropDifference
from graft.report.images import (
    confident_mistakes,
    first_suspects,
    sample_thumbnails,
)  # fmt: skip
from graft.report.page import class_scores, render_report
from graft.transfer.labels_saved import claim_of
from graft.validation.result import Change, ChangedQuantity, Expectation
from graft.watch.findings import TrainingFinding

pytestmark = pytest.mark.unit

SECTIONS = [
    "The gain", "Learning curves", "Where the model is right and wrong", "The most confident mistakes",
    "Calibration and robustness", "The data", "A look at the data", "The choice of the source", "The model",
    "Versions and hashes",
]  # fmt: skip


def test_every_section_has_its_heading_in_order() -> None:
    assert _texts(_page(), "h2") == SECTIONS


def test_the_top_of_the_page_is_a_sentence_what_to_do_two_plots_and_one_table() -> None:
    top = _page(longer_ratio=4).split("<h2>")[0]
    assert top.count('class="sentence"') == 1
    assert "use it, and start from cats again when new data come. Note: it is worse on class dog." in top
    assert _texts(top, "figcaption") == [
        "Gain: starting from cats minus starting from scratch",
        "How many labels the transfer saves",
    ]
    assert _texts(top, "th")[:3] == ["From cats", "From scratch", "From scratch at its best, trained 4× as long"]
    assert _texts(top, "th")[3:] == [
        "Test accuracy, mean of all trainings", "Test accuracy of the exported model", "Gain, points",
        "Runs from the source that are better", "Calibration error", "Largest drop under",
        "Labels needed to match training from scratch with all labels", "Compute per training",
    ]  # fmt: skip
    assert "Longer training from scratch could change the gain" not in top


def test_what_the_transfer_suffers_more_from_is_told_at_the_top() -> None:
    content = content_of()
    lost = {"points": Interval(mean=9, low=4, high=14)}
    found = [
        DropDifference(corruption="noise", breaks_first="transfer", **lost),
        DropDifference(corruption="blur", breaks_first="baseline", **lost),
        DropDifference(corruption="jpeg", breaks_first="transfer", **lost),
    ]
    examination = content.examination.model_copy(update={"differences": found})
    page = render_report(dataclasses.replace(content, examination=examination))
    said = "it is worse on class dog; it suffers more from noise and JPEG compression than the model from scratch."
    assert said in page.split("<h2>")[0]


def test_without_a_longer_training_the_table_has_no_column_for_it() -> None:
    assert "at its best" not in _page().split("<h2>")[0]


@pytest.mark.parametrize(
    ("exported_arm", "said"),
    [("baseline", "FROM SCRATCH: negative transfer"), ("nothing", "REJECTED: negative transfer")],
)
def test_what_follows_from_harm_stands_at_the_top(exported_arm: str, said: str) -> None:
    content = content_of(verdict="negative")
    verdict = content.verdict.model_copy(update={"exported_arm": exported_arm})
    top = render_report(dataclasses.replace(content, verdict=verdict)).split("<h2>")[0]
    assert said in top
    assert "The decision." in top


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
    assert render_report(content_of(classes=classes)) == render_report(content_of(classes=classes))


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
        ("inconclusive", "INCONCLUSIVE: no gain shown"),
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
    assert page.count("No ONNX file was written.</strong>") == 2
    assert page.count("No ONNX file was written.</strong> Starting from cats is worse.") == 1
    assert "onnxruntime.InferenceSession" not in page
    assert 'href="onnx/' not in page


def test_the_labels_that_are_saved_are_told_in_a_sentence_and_drawn() -> None:
    page = " ".join(_page().split())
    sentence = (
        "With 400 of 1,000 labels transfer is as accurate as training from scratch with all of them: 60 % fewer "
        "[none to 75 % or more], a factor of 2.5."
    )
    assert f"<p>{sentence}</p>" in page
    assert 'aria-label="Test accuracy of transfer and baseline: 250 labels 90.0% and 80.0%' in page
    assert "A fraction of 0.01 of the labels was skipped: 10 training samples are less than one batch of 16." in page


def test_where_no_labels_were_counted_the_page_says_so() -> None:
    off = labels_of().model_copy(update={"needed": None, "claim": claim_of(None), "counts": labels_of().counts[1:]})
    page = render_report(dataclasses.replace(content_of(), labels=off))
    assert "both arms were trained with all labels only" in page
    assert "Test accuracy by the number of labels" not in page


def test_a_baseline_arm_that_has_not_converged_is_admitted_at_the_top() -> None:
    page = _page(has_converged=False)
    top = page.split("<h2>")[0]
    assert "1.30 times the compute" in top
    assert "Longer training from scratch could change the gain." in top
    assert "n = 3 seeds × 40 test items" in page
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


def test_what_was_read_otherwise_than_it_is_written_is_listed() -> None:
    page = render_report(content_of())
    assert "<li>60 label(s) of data with surrounding blanks: &#39;cat &#39; is read as &#39;cat&#39;</li>" in page


def test_a_failed_expectation_is_named_in_words() -> None:
    page = render_report(dataclasses.replace(content_of(), validation=validation_of(passed=False, observed="3 fail")))
    assert "Validation: failed" in page
    assert "<td>it holds</td><td><strong>FAILED</strong></td><td>3 fail</td>" in page


def test_a_warning_is_shown_with_its_examples_and_the_change_that_caused_it() -> None:
    page = _page()
    assert "Validation: passed, 1 warning<" in page
    assert "not compared" not in page
    assert "<td><strong>warning</strong></td><td>PSI 0.3<br>" in page
    assert "a.png</small>" in page
    assert "<td>label share</td>" in page
    assert "much changed" in page


def test_what_was_compared_with_nothing_is_not_said_to_have_passed() -> None:
    expectation = Expectation(sentence="it keeps", level="error", passed=True, observed="no run yet", is_judged=False)
    quantity = ChangedQuantity(
        quantity="width", statistic=0, threshold=0, num_accepted=0, num_compared=0, details="no run yet",
        is_judged=False,
    )  # fmt: skip
    change = Change(inputs={}, expectations=[expectation], quantities=[quantity])
    page = render_report(dataclasses.replace(content_of(), change=change))
    assert "<td>it keeps</td><td>not compared</td><td>no run yet</td>" in page
    assert "Validation: passed, 1 not compared<" in page
    assert '<td>width</td><td class="number">–</td><td class="number">–</td><td>no run yet</td>' in page


def test_no_mistake_to_show_is_not_said_to_mean_that_all_is_right() -> None:
    content = dataclasses.replace(content_of(), mistakes=[])
    wrong = content.confusion["label"] != content.confusion["predicted"]
    assert f"although {wrong.sum()} test items are wrong: their predictions name no class" in render_report(content)
    right = dataclasses.replace(content, confusion=content.confusion[~wrong])
    assert "None: every test item is correct." in render_report(right)


def test_recall_and_precision_come_from_the_confusion_counts() -> None:
    confusion = pd.DataFrame({"label": ["a", "a", "b", "c"], "predicted": ["a", "b", "b", "b"]})
    scores = class_scores(confusion, ["a", "b", "c", "d"])
    assert [(score.recall, score.precision) for score in scores] == [(0.5, 1), (1, 1 / 3), (0, None), (None, None)]


def test_an_answer_that_names_no_class_lowers_the_recall_of_its_class() -> None:
    confusion = pd.DataFrame({"label": ["a", "a", "b"], "predicted": ["a", "", "b"]})
    scores = class_scores(confusion, ["a", "b"])
    assert [(score.num_items, score.recall, score.precision) for score in scores] == [(2, 0.5, 1), (1, 1, 1)]


def test_the_surest_mistakes_come_first(tmp_path: Path) -> None:
    table = _images(tmp_path, 4).assign(label="a", predicted=["b", "b", "a", "b"])
    table["probability_a"], table["probability_b"] = [0.4, 0.1, 0.9, 0.2], [0.6, 0.9, 0.1, 0.8]
    mistakes = confident_mistakes(tmp_path, table, 2)
    assert [(mistake.thumbnail.path, mistake.probability) for mistake in mistakes] == [("1.png", 0.9), ("3.png", 0.8)]


def test_the_look_at_the_data_says_what_each_list_ranks_and_that_the_test_split_is_left_alone() -> None:
    look = " ".join(_page().split("A look at the data")[1].split("<h2>")[0].split())
    assert "1,200 training and validation images" in look
    assert "The test split is not listed" in look
    assert "Labels and outliers: 1,000 images" in look
    assert "1,000 images ranked by the probability of their label, from a linear probe" in look
    assert "Wrong labels, as estimated by confident learning: about 7. Listed: 100." in look
    assert "More than 3.5 robust standard deviations from the median: 3. Listed: 50." in look
    assert "label <strong>dog</strong>,<br>or <strong>cat</strong>?<br>the probe says so" in look


def test_the_first_of_each_list_are_shown_in_its_order(tmp_path: Path) -> None:
    table = _images(tmp_path, 4).assign(label="007", suggested_label="", score=1.0, words="w")
    table = table.assign(kind=["label", "label", "label", "dark"], rank=[1, 2, 3, 1])
    shown = first_suspects(tmp_path, table, 2)
    paths = {kind: [suspect.thumbnail.path for suspect in suspects] for kind, suspects in shown.items()}
    assert paths == {"label": ["0.png", "1.png"], "dark": ["3.png"]}


def test_samples_are_training_images_in_the_order_of_their_hash(tmp_path: Path) -> None:
    table = _images(tmp_path, 6).assign(label="a", status="ok", split=["train"] * 5 + ["test"])
    shown = sample_thumbnails(tmp_path, table, ["a"], 3)["a"]
    assert [image.path for image in shown] == list(table[:5].sort_values("sample_id")["path"][:3])
    assert all(image.data_uri.startswith("data:image/jpeg;base64,") for image in shown)


def test_a_picture_that_changed_since_ingest_is_refused(tmp_path: Path) -> None:
    table = _images(tmp_path, 1).assign(label="a", status="ok", split="train")
    (tmp_path / "0.png").write_bytes(b"other")
    with pytest.raises(ContentChangedError, match=r"0\.png"):
        sample_thumbnails(tmp_path, table, ["a"], 1)


@functools.cache
def test_the_examination_says_how_many_groups_stand_behind_it_and_when_they_are_few() -> None:
    content, plain = content_of(), _page()
    units = {"num_test_units": 8, "num_validation_units": 4, "num_corrupted_units": 7}
    labels = content.labels.model_copy(update={"num_test_units": 8})
    grouped = render_report(
        dataclasses.replace(content, examination=content.examination.model_copy(update=units), labels=labels)
    )
    for words in (
        "n = 40 test items in 8 groups.", "fitted to 20 validation items in 4 groups", "33 test items in 7 groups",
        "its own choice of labels, × 40 test items in 8 groups",
        "With only 4 groups these ranges may be too narrow",
    ):  # fmt: skip
        assert words in grouped
        assert words not in plain


def _page(**changes: Any) -> str:
    return render_report(content_of(**changes))


def _numbered(num_classes: int) -> tuple[str, ...]:
    return tuple(f"class {index:03}" for index in range(num_classes))


def _images(folder: Path, count: int) -> pd.DataFrame:
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
    content = content_of()
    told = dataclasses.replace(content, transfer=content.transfer.model_copy(update={"findings": [finding]}))
    page = render_report(told)
    assert "no rule of the watch fired" not in page
    assert {"overfitting", "finetune.num_epochs"} <= set(_texts(page, "code"))
    assert {"loss rose by 0.4", "too long"} <= set(_texts(page, "td"))
