"""Arrays made from the tables of predictions that the arms wrote: S seeds, N items."""

from pathlib import Path

import numpy as np
import pandas as pd

from graft.core.arms import ARMS
from graft.core.artifacts import PAIR_CURVES
from graft.core.errors import UnpairedRunsError
from graft.core.table_files import read_csv
from graft.data.manifest import usable_samples
from graft.data.units import units_by_id
from graft.transfer.verdict import PartKind


def correct_SN(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per seed, one column per sample_id, both sorted: 1 where the prediction is correct, else 0."""
    is_correct = (predictions["predicted"] == predictions["label"]).astype(int)
    return is_correct.groupby([predictions["seed"], predictions["sample_id"]]).first().unstack()


def parts_of(predictions: pd.DataFrame, manifest: pd.DataFrame) -> dict[PartKind, np.ndarray]:
    """Class, domain and group of each item, in the order of `correct_SN`'s columns; empty: no domain or group.

    Args:
        predictions: those of one arm.
        manifest: sample_id, domain and group of all samples.
    """
    labels = predictions.groupby("sample_id")["label"].first()
    described = manifest.drop_duplicates("sample_id").set_index("sample_id").loc[labels.index]
    return {
        "class": labels.to_numpy(dtype=str),
        "domain": described["domain"].to_numpy(dtype=str),
        "group": described["group"].to_numpy(dtype=str),
    }


def units_of(predictions: pd.DataFrame, manifest: pd.DataFrame) -> np.ndarray:
    """Independent unit of each item [N] (graft.data.units), in the order of `correct_SN`'s columns.

    Args:
        predictions: those of one arm.
        manifest: sample_id, path, group, duplicate_of and status of all samples.
    """
    return units_by_id(np.unique(predictions["sample_id"].to_numpy(dtype=str)), manifest)


def guessing_of(predictions: pd.DataFrame, manifest: pd.DataFrame) -> np.ndarray:
    """Array [N]: 1 where always predicting the most frequent training class is correct, else 0, in the order of
    `correct_SN`'s columns.

    Args:
        predictions: those of one arm.
        manifest: label, split and status of all samples.
    """
    most_frequent = usable_samples(manifest, "train")["label"].mode()[0]
    return (predictions.groupby("sample_id")["label"].first() == most_frequent).to_numpy(dtype=int)


def paired_correct(transfer: pd.DataFrame, baseline: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Correctness of both arms [S, N], with the same seeds and items in the same order.

    Raises:
        UnpairedRunsError: the two tables do not hold the same seeds and test items.
    """
    ours, theirs = correct_SN(transfer), correct_SN(baseline)
    if not (ours.index.equals(theirs.index) and ours.columns.equals(theirs.columns)):
        raise UnpairedRunsError(
            f"the arms were tested on different runs: {len(ours)} seeds x {len(ours.columns)} items and "
            f"{len(theirs)} x {len(theirs.columns)}. Run both again on the same manifest and arms.seeds."
        )
    return ours.to_numpy(), theirs.to_numpy()


def read_curves(artifacts_dir: Path) -> pd.DataFrame:
    """Curves of both arms and all seeds, including those that the proof added: see
    `graft.experiment.seeds.curves_table`."""
    names = [*(files.curves for files in ARMS.values()), PAIR_CURVES]
    tables = [read_csv(artifacts_dir / name) for name in names]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)
