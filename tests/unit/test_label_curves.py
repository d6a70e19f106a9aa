"""What the report draws of the labels that are saved."""

import re

import pytest

from graft.core.artifacts import Interval
from graft.report.label_curves import label_curves
from graft.transfer.labels_saved import LabelCount, LabelsSaved, NeededLabels, claim_of


@pytest.mark.parametrize(
    ("labels", "low", "high", "drawn"),
    [(400, 300, 700, "60 % fewer"), (250, 250, 250, "at least 75 % fewer"), (None, 900, None, None)],
)
def test_the_distance_carries_its_label_where_there_is_one(
    labels: float | None, low: float, high: float | None, drawn: str | None
) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", label_curves(_found(labels=labels, low=low, high=high)))
    assert {"transfer", "baseline", "250", "1,000"} <= set(texts)
    assert [text for text in texts if "fewer" in text] == ([drawn] if drawn else [])


def test_an_interval_that_tells_nothing_does_not_squeeze_the_curves() -> None:
    found = _found(labels=400, low=300, high=700)
    found.counts[0].accuracy["baseline"] = Interval(mean=0.75, low=0, high=1)
    ticks = [int(tick) for tick in re.findall(r"<text[^>]*>(\d+) %</text>", label_curves(found))]
    assert 60 <= min(ticks) < max(ticks) <= 100


def _found(*, labels: float | None, low: float | None, high: float | None) -> LabelsSaved:
    counts = [
        LabelCount(
            num_labels=number,
            accuracy={"transfer": _around(accuracy), "baseline": _around(accuracy - 0.1)},
            accuracy_per_seed={"transfer": [accuracy] * 2, "baseline": [accuracy - 0.1] * 2},
            curve={"transfer": accuracy, "baseline": accuracy - 0.1},
        )
        for number, accuracy in ((250, 0.85), (1000, 0.95))
    ]
    needed = NeededLabels(fewest=250, all=1000, labels=labels, low=low, high=high)
    return LabelsSaved(
        inputs={}, claim=claim_of(needed), alpha=0.05, seeds=[0, 1], num_test=40, num_test_units=40, counts=counts,
        needed=needed, skipped={"0.01": "10 training samples are less than one batch of 16"},
    )  # fmt: skip


def _around(accuracy: float) -> Interval:
    return Interval(mean=accuracy, low=accuracy - 0.03, high=accuracy + 0.03)
