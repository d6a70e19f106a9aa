"""Subsets of the training samples: the same share of every class, in whole groups."""

import hashlib

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from graft.data.units import sampling_units


def stratified_subset(samples: pd.DataFrame, fraction: float, key: str) -> Tensor:
    """Positions of the share `fraction` of every class, rounded up to whole units, in the order of `samples`.

    Samples that share a group or are near duplicates form a unit (graft.data.units) and are kept or dropped together: a
    tenth of the samples of every patient is more informative than all samples of a tenth of the patients, and patients
    are what is scarce.

    The order of units depends only on their names and the key: with the same key, a larger fraction includes all
    samples of a smaller one, and adding or removing a unit affects others only at the boundary. A unit with samples of
    several classes is taken if any of them needs it.

    Args:
        samples: rows of the manifest.
        fraction: 0..1.
    """
    names_G, unit_of_N = np.unique(sampling_units(samples), return_inverse=True)
    hashes_G = [hashlib.sha256(f"{key}:{name}".encode()).hexdigest() for name in names_G]
    rank_of_N = np.argsort(np.argsort(hashes_G))[unit_of_N]
    is_needed_G = np.zeros(len(names_G), dtype=bool)
    for label in samples["label"].unique():
        of_class = (samples["label"] == label).to_numpy()
        ranks, sizes = np.unique(rank_of_N[of_class], return_counts=True)
        num_before = np.cumsum(sizes) - sizes
        is_needed_G[ranks[num_before < fraction * of_class.sum()]] = True
    return torch.from_numpy(np.flatnonzero(is_needed_G[rank_of_N]))
