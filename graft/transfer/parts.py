"""Gain within parts of the test split, so that a gain on most parts does not hide harm to one. S seeds, N items."""

from collections.abc import Mapping

import numpy as np

from graft.statistics.units import MIN_UNITS, num_units
from graft.transfer.compare import gain_components, verdict_of
from graft.transfer.verdict import PartGain, PartKind

MIN_GROUP_ITEMS = 50
"""Fewest test items of a group that is evaluated separately; a series of a few images says nothing alone, and many such
parts would make every part's interval too wide."""


def gains_by_part(
    transfer_SN: np.ndarray,
    baseline_SN: np.ndarray,
    parts: Mapping[PartKind, np.ndarray],
    *,
    groups_N: np.ndarray | None = None,
    margin_points: float,
    alpha: float,
) -> dict[PartKind, list[PartGain]]:
    """One gain per part that has a name and at least `MIN_UNITS` units (a group: `MIN_GROUP_ITEMS` items), in the order
    of their names; none for a kind with a single part.

    The intervals of all parts of all kinds hold simultaneously with a probability of 1 - alpha: each has the level
    alpha divided by the number of parts (Bonferroni).

    Args:
        transfer_SN, baseline_SN, groups_N, margin_points: see `graft.transfer.compare.compare`. If a part is itself a
            group, its items are the units, and its interval is about this group alone.
        parts: kind -> name of each item's part [N], such as its class; an empty name: the item is in no part.
    """

    def units_within(kind: PartKind, is_part_N: np.ndarray) -> np.ndarray | None:
        return None if groups_N is None or kind == "group" else groups_N[is_part_N]

    def is_large_enough(kind: PartKind, is_part_N: np.ndarray) -> bool:
        num_items = int(is_part_N.sum())
        if kind == "group":
            return num_items >= MIN_GROUP_ITEMS
        return num_units(units_within(kind, is_part_N), num_items) >= MIN_UNITS

    chosen = [
        (kind, name, parts_N == name)
        for kind, parts_N in parts.items()
        for name in _names(parts_N)
        if is_large_enough(kind, parts_N == name)
    ]
    gains: dict[PartKind, list[PartGain]] = {kind: [] for kind in parts}
    for kind, name, is_part_N in chosen:
        ours, theirs = 100.0 * transfer_SN[:, is_part_N], 100.0 * baseline_SN[:, is_part_N]
        units = units_within(kind, is_part_N)
        gain = gain_components(ours, theirs, groups_N=units, span=100.0).interval(alpha / len(chosen)).within(-100, 100)
        gains[kind].append(
            PartGain(
                name=name,
                num_items=ours.shape[1],
                num_units=num_units(units, ours.shape[1]),
                transfer_accuracy=ours.mean() / 100,
                baseline_accuracy=theirs.mean() / 100,
                gain_points=gain,
                verdict=verdict_of(gain, margin_points),
            )
        )
    return gains


def _names(parts_N: np.ndarray) -> list[str]:
    names = np.unique(parts_N)
    return [name for name in names.tolist() if name != ""] if len(names) > 1 else []


def harm_in_words(parts: Mapping[PartKind, list[PartGain]]) -> str:
    """Sentence on the parts with negative transfer; empty if there are none."""
    said = [
        f"{kind} {part.name} ({part.gain_points.in_points}, {part.num_items:,} test items)"
        for kind, gains in parts.items()
        for part in harmed(gains)
    ]
    return f"It is worse on {', '.join(said)}." if said else ""


def harmed(gains: list[PartGain]) -> list[PartGain]:
    return [part for part in gains if part.verdict == "negative"]
