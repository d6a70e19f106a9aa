"""Sampling units: samples that belong together in every split, fold and interval. N samples."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from graft.data.duplicates import clusters
from graft.data.manifest import SET_ASIDE


def sampling_units(samples: pd.DataFrame) -> np.ndarray:
    """Unit of each sample [N], strings: its samples share a group or are near duplicates, possibly through others.

    Samples of one patient, video or solar module are correlated, and carry less information than as many independent
    ones, so sampling and intervals draw or count these units. A sample without group and duplicates is its own unit.

    Args:
        samples: rows of the manifest, at least the columns sample_id, path, group and duplicate_of.
    """
    positions = np.arange(len(samples))
    group_N = samples["group"].to_numpy(dtype=str)
    first_N = np.where(samples["duplicate_of"] == "", samples["path"], samples["duplicate_of"]).astype(str)
    links = [_links(positions[group_N != ""], group_N[group_N != ""]), _links(positions, first_N)]
    return samples["sample_id"].to_numpy(dtype=str)[clusters(len(samples), np.concatenate(links))]


def units_by_id(sample_ids: Iterable[str], manifest: pd.DataFrame) -> np.ndarray:
    """`sampling_units` [N] of the samples with these ids, in their order. Samples that are set aside may link others.

    Args:
        manifest: the whole manifest, or at least whole splits.
    """
    readable = manifest[manifest["status"].isin(["ok", *SET_ASIDE])]
    units = pd.Series(sampling_units(readable), index=readable["sample_id"].to_numpy(dtype=str))
    return units[~units.index.duplicated()].loc[list(sample_ids)].to_numpy(dtype=str)  # exact copies share their unit


def _links(positions: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Pairs [P, 2] of each sample with the first one of the same name."""
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    return np.stack([positions[first[inverse]], positions], axis=1) if len(names) else np.empty((0, 2), dtype=np.int64)
