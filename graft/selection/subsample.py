"""Subsamples that are stable when data are added."""

import numpy as np
import pandas as pd


def subsample(
    samples: pd.DataFrame, max_samples: int, min_per_class: int, *, units_N: np.ndarray | None = None
) -> pd.DataFrame:
    """An equal share of every class, in the order of content hashes, at least `min_per_class`; sorted by path.

    Args:
        units_N: sampling unit of each row; the first sample of every unit and class is taken before any second one, so
            that few samples still come from many units. None: each sample is its own unit.
    """
    unit = pd.Series(units_N if units_N is not None else samples["sample_id"].to_numpy(), index=samples.index)
    by_hash = samples.assign(unit=unit).sort_values("sample_id")
    by_hash["rank_in_unit"] = by_hash.groupby(["label", "unit"]).cumcount()
    by_hash = by_hash.sort_values(["rank_in_unit", "sample_id"])
    rank_in_class = by_hash.groupby("label").cumcount()
    class_size = by_hash["label"].map(by_hash["label"].value_counts())
    quota = (class_size * max_samples / len(samples)).clip(lower=min_per_class)
    return by_hash[rank_in_class < quota].sort_values("path", ignore_index=True)[list(samples.columns)]
