"""A comparison with numbers of one's choice, for what is said of it."""

from dataclasses import replace
from typing import Any

from graft.core.artifacts import Interval
from graft.transfer.compare import Comparison

_ANY = Comparison(
    gain_points=Interval(mean=-3.0, low=-5.0, high=-1.0), gain_points_per_seed=[-4.0, -3.0, -2.0], num_units=400,
    improvement=Interval(mean=0.1, low=0.01, high=0.4), share_of_pairs=0.0,
    shipped_gain_points=Interval(mean=-3.0, low=-6.0, high=0.0), seed_spread_points=1.0,
    smallest_detectable_points=4.0, unexaggerated_points=-2.9, mcnemar_p=0.01, num_only_transfer_right=1,
    num_only_baseline_right=9, verdict="negative", seeds_needed=None, units_needed=None,
)  # fmt: skip


def comparison(**changes: Any) -> Comparison:
    return replace(_ANY, **changes)
