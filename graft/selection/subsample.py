"""Fewer samples, chosen so that the choice stays put as data grow."""

import pandas as pd


def subsample(samples: pd.DataFrame, max_samples: int, min_per_class: int) -> pd.DataFrame:
    """The same share of every class, first come by content hash, but at least `min_per_class`; sorted by path."""
    by_hash = samples.sort_values("sample_id")
    rank_in_class = by_hash.groupby("label").cumcount()
    class_size = by_hash["label"].map(by_hash["label"].value_counts())
    quota = (class_size * max_samples / len(samples)).clip(lower=min_per_class)
    return by_hash[rank_in_class < quota].sort_values("path", ignore_index=True)
