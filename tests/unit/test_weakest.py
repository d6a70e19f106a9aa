"""The class that the model recognises least stands at the top of everything."""

import dataclasses
import re

import numpy as np
import pytest
from report_content import card_content_of, content_of

from flows.summary import MAX_LINES, fit_to_screen, watch_notes
from graft.report.page import render_report
from graft.serving.card import render_card
from graft.transfer.verdict import WeakestClass
from graft.transfer.weakest import weakest_class

JARGON = re.compile(r"\b(arms?|seeds?|nats|TFLOPs?|McNemar)\b")


def _weakest(groups: list[str] | None = None, **right_by_class: str) -> WeakestClass:
    """Of classes whose test items are right where their string has a 1; a class with an empty one has none."""
    right_N = np.array([int(answer) for answers in right_by_class.values() for answer in answers])
    labels_N = np.array([name for name, answers in right_by_class.items() for _ in answers])
    groups_N = None if groups is None else np.array(groups)
    return weakest_class(right_N, labels_N, list(right_by_class), groups_N=groups_N, alpha=0.05)


def test_the_class_of_the_lowest_recall_is_named_with_what_stands_behind_it() -> None:
    found = _weakest(functional="1111111110", defective="1111111000" * 4)
    assert (found.name, found.num_items, found.num_units, found.num_missed) == ("defective", 40, 40, 12)
    assert found.recall.mean == pytest.approx(0.7)
    assert 0.5 < found.recall.low < 0.6 < 0.8 < found.recall.high < 0.9
    assert "defective. The model misses 12 of its 40 test images, 30.0 % (" in found.in_words()


def test_of_equal_classes_the_one_that_less_is_known_of_is_named() -> None:
    assert _weakest(many="10" * 30, few="10").name == "few"


def test_the_interval_counts_groups_and_holds_for_all_classes_together() -> None:
    answers = "1" * 28 + "0" * 12
    alone, beside = _weakest(a=answers), _weakest(a=answers, b="1" * 40)
    assert beside.recall.low < alone.recall.low
    grouped = _weakest(a=answers, groups=[f"group {number // 4}" for number in range(40)])
    assert grouped.num_units == 10
    assert grouped.recall.low < alone.recall.low
    assert "12 of its 40 test images in 10 groups" in grouped.in_words()


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"a": "1" * 12, "b": "1" * 30}, "misses no test image of any class; least is known of a: all its 12 test"),
        ({"a": "1", "b": "11"}, "least is known of a: its only test image is correct, so up to"),
        ({"a": "0", "b": "11"}, "a. The model misses its only test image, 100.0 %"),
        ({"a": "10", "b": ""}, "Nothing is known about b: no test images."),
        (
            {"a": "10", **{f"c{number}": "" for number in range(7)}},
            "about c0, c1, c2, c3, c4 and 2 more: no test images.",
        ),
    ],
)
def test_few_or_no_items_and_no_mistakes_are_told_as_they_are(answers: dict[str, str], said: str) -> None:
    words = _weakest(**answers).in_words()
    assert said in words
    assert "misses 0" not in words


def test_the_weakest_class_stands_at_the_top_of_page_and_card() -> None:
    content = content_of()
    said = "Weakest class: dog. The model misses 6 of its 20 test images, 30.0 % (13.0 to 54.0 %)."
    assert said in render_report(content).split("<figure")[0]
    assert said in render_card(card_content_of(content)).split("\n## ")[0]


def test_a_refused_model_is_not_said_to_be_the_model() -> None:
    assert "The refused model misses 6 of its 20" in render_report(content_of(verdict="negative")).split("<figure")[0]


@pytest.mark.parametrize("verdict", ["positive", "equivalent", "inconclusive", "negative"])
def test_the_first_screen_has_no_word_that_only_a_specialist_knows(verdict: str) -> None:
    content = content_of(verdict=verdict, has_converged=False, longer_ratio=2)
    needed = content.verdict.model_copy(update={"seeds_needed": 7, "units_needed": 900, "num_test_uses": 9})
    top = render_report(dataclasses.replace(content, verdict=needed)).split("<header>")[1].split("</header>")[0]
    seen = " ".join(re.sub(r"<[^>]*>", " ", top).split())
    assert "Measured on 40 test images, with 3 trainings from each start" in seen
    assert JARGON.findall(seen) == []


def test_the_summary_is_cut_to_a_screen_and_never_what_stands_at_its_top_or_end() -> None:
    head, foot = f"\n  BADGE\n  {'Weakest class: w. ' * 12}\n", f"\n  next  {'command ' * 30}\n"
    body = "\n".join(["", *(f"  line {number} {'word ' * 100}" for number in range(12)), ""])
    lines = fit_to_screen(head, body, foot).splitlines()
    assert len(lines) <= MAX_LINES
    text = " ".join(" ".join(lines).split())
    assert text.count("Weakest class: w.") == 12
    assert text.count("command") == 30
    assert text.count("(see the report)") == 12
    assert all(len(line) <= 110 for line in lines)
    short = fit_to_screen(head, "\n  one line\n", foot)
    assert "(see the report)" not in short


def test_a_seed_that_collapsed_is_not_summarised_as_nothing_went_wrong() -> None:
    content = content_of()
    assert watch_notes(content.transfer, content.baseline, content.verdict) == "nothing went wrong in training"
    scores = {**content.verdict.scores}
    scores["baseline"] = scores["baseline"].model_copy(update={"collapsed_seeds": [0, 2]})
    collapsed = content.verdict.model_copy(update={"scores": scores})
    said = watch_notes(content.transfer, content.baseline, collapsed)
    assert said == "collapsed (baseline) seed(s) 0, 2; see the report"
