"""What follows from a verdict, and what is remembered of sources that did harm."""

import json
from pathlib import Path
from typing import Any

import pytest

from graft.core.artifacts import Interval
from graft.core.choices import OnNegative
from graft.core.errors import ContentChangedError
from graft.transfer.decision import Decision, Policy, alpha_per_source, decide
from graft.transfer.rejected import RejectedSource, RejectedSources
from graft.transfer.verdict import Verdict

PROJECT = Path(__file__).parents[2]
ACCURACY = Interval(mean=0.9, low=0.85, high=0.95)


def _decide(verdict: Any, **policy: Any) -> Decision:
    settings = {"on_negative": "reject", "on_inconclusive": "export", "baseline_bar": 0.5, "may_try_next": True}
    return decide(verdict, ACCURACY, Policy(**settings | policy))


@pytest.mark.parametrize("verdict", ["positive", "equivalent", "inconclusive"])
@pytest.mark.parametrize("on_negative", ["reject", "next_source", "baseline"])
def test_without_harm_the_transfer_arm_ships_whatever_would_follow_from_harm(verdict: str, on_negative: str) -> None:
    assert _decide(verdict, on_negative=on_negative).exported_arm == "transfer"


def test_an_unproven_gain_is_rejected_where_params_say_so() -> None:
    decision = _decide("inconclusive", on_inconclusive="reject", on_negative="next_source")
    assert (decision.exported_arm, decision.tries_next) == ("nothing", False)


def test_harm_ships_nothing_by_default() -> None:
    assert _decide("negative") == Decision(
        "nothing", "Start from another source (select.candidates), or train from scratch."
    )


def test_harm_sends_the_flow_to_the_next_source_while_there_is_one() -> None:
    assert _decide("negative", on_negative="next_source").tries_next
    last = _decide("negative", on_negative="next_source", may_try_next=False)
    assert (last.exported_arm, last.tries_next) == ("nothing", False)


@pytest.mark.parametrize(("bar", "exported_arm"), [(0.84, "baseline"), (0.85, "nothing"), (0.9, "nothing")])
def test_baseline_is_exported_only_if_its_whole_interval_is_above_its_bar(bar: float, exported_arm: str) -> None:
    decision = _decide("negative", on_negative="baseline", baseline_bar=bar)
    assert decision.exported_arm == exported_arm
    assert "90.0% [85.0%, 95.0%]" in decision.reason


def test_a_source_is_rejected_on_the_data_that_it_was_tried_on_alone(tmp_path: Path) -> None:
    path = tmp_path / "rejected_sources.json"
    assert RejectedSources.load(path).on("these") == {}
    entry = RejectedSource(source="cats", weights_sha256="w", manifest_sha256="these", claim="It harms.")
    RejectedSources.load(path).plus(entry).save(path)
    again = RejectedSources.load(path)
    assert again.on("these") == {"w": "It harms."}
    assert again.on("those") == {}


def test_a_damaged_list_of_rejected_sources_is_answered_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rejected_sources.json"
    path.write_text('{"rejected": [{"source": 3}]}')
    with pytest.raises(ContentChangedError, match=r"git checkout -- rejected_sources\.json"):
        RejectedSources.load(path)


def test_the_schema_in_the_docs_is_that_of_the_verdict() -> None:
    schema = json.loads((PROJECT / "docs" / "verdict.schema.json").read_text())
    assert schema == Verdict.model_json_schema(mode="serialization"), "python -m graft.transfer.verdict"
    assert [name for name, field in schema["properties"].items() if "description" not in field] == []


@pytest.mark.parametrize(
    ("on_negative", "is_shared", "expected"),
    [("reject", False, 0.05), ("baseline", False, 0.05), ("next_source", False, 0.025), ("next_source", True, 0.05)],
)
def test_sources_that_are_tried_one_after_the_other_share_alpha_once(
    on_negative: OnNegative, is_shared: bool, expected: float
) -> None:
    assert alpha_per_source(0.05, on_negative=on_negative, max_sources=2, is_shared=is_shared) == expected
