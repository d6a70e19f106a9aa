"""The gain within parts of the test split: help to the others must not hide harm to one. S seeds, N items."""

from collections.abc import Mapping

import numpy as np

from graft.transfer.compare import interval_of, verdict_of
from graft.transfer.spread import spread_of
from graft.transfer.verdict import PartGain, PartKind

MIN_ITEMS = 5
"""Below this there is no telling how much the items of a part differ."""


def gains_by_part(
    transfer_SN: np.ndarray, scratch_SN: np.ndarray, parts_N: np.ndarray, *, margin_points: float, alpha: float
) -> list[PartGain]:
    """One a part that has a name and at least `MIN_ITEMS` items, in the order of their names; none where one part
    holds all items.

    All intervals hold together with a probability of 1 - alpha: each has the level alpha over the number of parts
    (Bonferroni).

    Args:
        transfer_SN, scratch_SN, margin_points: see `graft.transfer.compare.compare`.
        parts_N: the name of each item's part, as its class; empty: of none.
    """
    names, counts = np.unique(parts_N, return_counts=True)
    if len(names) == 1:
        return []
    names = names[(counts >= MIN_ITEMS) & (names != "")]
    gains = []
    for name in names:
        ours, theirs = 100.0 * transfer_SN[:, parts_N == name], 100.0 * scratch_SN[:, parts_N == name]
        gain = interval_of(float((ours - theirs).mean()), spread_of(ours, -theirs), alpha / len(names))
        gain = gain.within(-100, 100)
        gains.append(
            PartGain(
                name=str(name),
                num_items=ours.shape[1],
                transfer_accuracy=ours.mean() / 100,
                scratch_accuracy=theirs.mean() / 100,
                gain_points=gain,
                verdict=verdict_of(gain, margin_points),
            )
        )
    return gains


def harm_in_words(parts: Mapping[PartKind, list[PartGain]]) -> str:
    """Which parts are worse off; empty where none is shown to be."""
    said = [
        f"{kind} {part.name} ({part.gain_points.in_points}, {part.num_items:,} test items)"
        for kind, gains in parts.items()
        for part in harmed(gains)
    ]
    return f"It harms {', '.join(said)}." if said else ""


def harmed(gains: list[PartGain]) -> list[PartGain]:
    return [part for part in gains if part.verdict == "negative"]
