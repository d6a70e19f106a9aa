"""Verdicts on the same test split: how they are counted, what is said of them, and how they share alpha."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from report_content import content_of

from benchmarks.test_reuse import World, examined
from graft.core.artifacts import Interval
from graft.core.errors import ContentChangedError
from graft.report.page import render_report
from graft.transfer.decision import choices_by_test_split
from graft.transfer.ledger import (
    Ledger,
    LedgerEntry,
    choices_in_words,
    sha256_of_items,
    share_of_alpha,
    uses_in_words,
)
from graft.transfer.verdict import Verdict

NOTHING: dict[str, Any] = {
    "may_add_seeds": False,
    "on_negative": "reject",
    "num_rejected": 0,
    "num_earlier": 0,
    "num_other_params": 0,
}


def _entry(compared: str, *, test_split: str = "these") -> LedgerEntry:
    return LedgerEntry(
        test_split=test_split, compared=compared, params="p", date="2026-11-27", commit="",
        has_uncommitted_changes=False, source="cats", gain_points=Interval(mean=1, low=-1, high=3),
        verdict="inconclusive", alpha=0.05,
    )  # fmt: skip


def _verdict(num_uses: int = 1, *, is_shared: bool = False, choices: tuple[str, ...] = ()) -> Verdict:
    changes = {"num_test_uses": num_uses, "alpha_is_shared": is_shared, "alpha_of_all_uses": 0.02902}
    return content_of().verdict.model_copy(update=changes | {"test_split_choices": list(choices)})


def test_a_test_split_is_known_by_its_items_alone() -> None:
    assert sha256_of_items(["b", "a", "b"]) == sha256_of_items(["a", "b"])
    assert sha256_of_items(["a", "b"]) != sha256_of_items(["a", "b", "c"])


def test_the_same_comparison_is_kept_once_and_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "test_uses.json"
    assert Ledger.load(path).before("these", "first") == []
    for entry in [_entry("first"), _entry("other", test_split="those"), _entry("second"), _entry("first")]:
        Ledger.load(path).plus(entry).save(path)
    ledger = Ledger.load(path)
    assert [entry.compared for entry in ledger.given] == ["first", "other", "second"]
    assert ledger.before("these", "first") == []
    assert len(ledger.before("these", "second")) == 1
    assert len(ledger.before("these", "third")) == 2


@pytest.mark.parametrize("damage", ['{"given": [{"verdict": "good"}]}', "<<<<<<< HEAD\n", ""])
def test_a_damaged_ledger_is_answered_with_how_to_restore_it(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "test_uses.json"
    path.write_text(damage)
    with pytest.raises(ContentChangedError, match=r"git checkout -- test_uses\.json"):
        Ledger.load(path)


def test_the_shares_of_alpha_fall_and_never_sum_to_more_than_the_whole() -> None:
    shares = [share_of_alpha(number) for number in range(1, 100_001)]
    assert shares == sorted(shares, reverse=True)
    assert 0.99 < sum(shares) < 1


def test_twenty_useless_variants_rarely_get_a_verdict_only_where_they_share_alpha() -> None:
    found = examined(World(5, 300, "planned"), num_draws=60)
    assert found["verdict"]["any_decided"] > 8
    assert found["test_split"]["any_decided"] < 5


def test_how_often_the_test_split_was_used_is_said_in_plain_words() -> None:
    assert uses_in_words(_verdict(1)) == "This test split has been used for this verdict only."
    assert uses_in_words(_verdict(3)).endswith("for 3 verdicts; each further one makes chance findings likelier.")
    shared = uses_in_words(_verdict(2, is_shared=True))
    assert "share one alpha: the chance of a false one among them is at most 3 %." in shared


def test_the_report_tells_the_uses_below_the_gain_and_at_the_top_once_they_are_many() -> None:
    top, rest = [], []
    for number in (5, 6):
        page = render_report(dataclasses.replace(content_of(), verdict=_verdict(number)))
        before, _, after = page.partition("<h2>The gain</h2>")
        top.append(f"has been used for {number} verdicts" in before)
        rest.append(f"has been used for {number} verdicts" in after)
    assert (top, rest) == ([False, True], [True, True])


def test_nothing_is_said_to_hang_on_the_test_split_where_nothing_does() -> None:
    assert choices_by_test_split(**NOTHING) == []
    assert choices_in_words(_verdict()) == "The test split was used in no training and in no choice."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"may_add_seeds": True}, "how many seeds were trained"),
        ({"on_negative": "next_source"}, "the source, .*none rejected before this one"),
        ({"on_negative": "next_source", "num_rejected": 1}, "the source, .*1 rejected before this one"),
        ({"on_negative": "baseline"}, "which arm's model is exported"),
        ({"num_earlier": 1}, "any choice a person made after seeing the earlier verdict on it$"),
        ({"num_earlier": 4, "num_other_params": 3}, "after seeing the 4 earlier verdicts on it .3 with other params."),
    ],
)
def test_each_choice_that_hangs_on_the_test_split_is_named(changes: dict[str, Any], said: str) -> None:
    (choice,) = choices_by_test_split(**{**NOTHING, **changes})
    assert re.search(said, choice)
    words = choices_in_words(_verdict(choices=(choice,)))
    assert words.startswith("The test split was used in no training. Only these choices depend on it")
    assert choice in words
