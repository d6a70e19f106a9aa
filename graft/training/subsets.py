"""Fewer training samples than there are: the same share of every class."""

import hashlib

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def stratified_subset(samples: pd.DataFrame, fraction: float, key: str) -> Tensor:
    """Positions of the share `fraction` of every class, rounded up, in the order of `samples`.

    Which ones hangs on nothing but their sample_id and the key: of the same key a larger fraction has all samples of a
    smaller one, and a sample more or less moves no other but at the edge.

    Args:
        fraction: 0..1.
    """
    hashes = pd.Series([hashlib.sha256(f"{key}:{name}".encode()).hexdigest() for name in samples["sample_id"]])
    rank_in_class = hashes.groupby(samples["label"].to_numpy()).rank().to_numpy(int)
    class_size = samples["label"].map(samples["label"].value_counts()).to_numpy(int)
    return torch.from_numpy(np.flatnonzero(rank_in_class - 1 < fraction * class_size))
