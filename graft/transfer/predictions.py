"""What the arms left in tables, and what is said of it: S seeds, N items."""

from pathlib import Path

import numpy as np
import pandas as pd

from graft.artifacts import ARM_FOLDERS, Interval
from graft.errors import UnpairedRunsError
from graft.transfer.compare import Comparison
from graft.transfer.convergence import Convergence
from graft.transfer.verdict import PartKind


def correct_SN(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a seed, one column a sample_id, both sorted: 1 where the prediction is right, else 0."""
    right = (predictions["predicted"] == predictions["label"]).astype(int)
    return right.groupby([predictions["seed"], predictions["sample_id"]]).first().unstack()


def parts_of(predictions: pd.DataFrame, manifest: pd.DataFrame) -> dict[PartKind, np.ndarray]:
    """What each item belongs to, in the order of `correct_SN`'s columns; empty: to no domain or group.

    Args:
        predictions: of one arm.
        manifest: sample_id, domain and group of all samples.
    """
    labels = predictions.groupby("sample_id")["label"].first()
    described = manifest.drop_duplicates("sample_id").set_index("sample_id").loc[labels.index]
    return {
        "class": labels.to_numpy(dtype=str),
        "domain": described["domain"].to_numpy(dtype=str),
        "group": described["group"].to_numpy(dtype=str),
    }


def paired_correct(transfer: pd.DataFrame, scratch: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """
    Raises:
        UnpairedRunsError: the two tables do not hold the same seeds and test items.
    """
    ours, theirs = correct_SN(transfer), correct_SN(scratch)
    if not (ours.index.equals(theirs.index) and ours.columns.equals(theirs.columns)):
        raise UnpairedRunsError(
            f"the arms were tested on different runs: {len(ours)} seeds x {len(ours.columns)} items against "
            f"{len(theirs)} x {len(theirs.columns)}. Run both again on the same manifest and arms.seeds."
        )
    return ours.to_numpy(), theirs.to_numpy()


def read_curves(artifacts_dir: Path) -> pd.DataFrame:
    """Of both arms and all seeds, those that the proof added too: see `graft.training.arms.curves_table`."""
    tables = [pd.read_csv(artifacts_dir / folder / "curves.csv") for folder in (*ARM_FOLDERS.values(), "pairs")]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def claim_of(
    comparison: Comparison, *, alpha: float, source: str, compute_ratio: float, convergence: str, remarks: list[str]
) -> str:
    """The one sentence that the numbers support.

    Args:
        remarks: sentences that it must not be read without; empty ones are left out.
    """
    interval = f"{comparison.gain_points.in_points} at {100 * (1 - alpha):g} % confidence"
    budget = f"a model trained from scratch with {compute_ratio:.2f} times the compute ({convergence})"
    more = [
        f"{number:,} {words}"
        for number, words in ((comparison.seeds_needed, "seeds"), (comparison.items_needed, "test items"))
        if number is not None
    ]
    would_decide = f" {' or '.join(more)} in all would decide, if the gain stayed what it is." if more else ""
    claim = {
        "positive": f"Starting from {source} beats {budget} by {interval}.",
        "negative": f"Negative transfer: starting from {source} is worse than {budget}, by {interval}.",
        "equivalent": f"No difference that matters between starting from {source} and {budget}: {interval}.",
        "inconclusive": f"No difference shown between starting from {source} and {budget}: {interval}.{would_decide}",
    }[comparison.verdict]
    return " ".join([claim, *filter(None, remarks)])


def trials_in_words(num_transfer: int, num_scratch: int) -> str:
    """Whether one arm was tuned more than the other; empty where it was not."""
    if num_transfer == num_scratch:
        return ""
    return (
        f"The comparison is tilted: learning rates were searched with {num_transfer} trials for transfer and "
        f"{num_scratch} for scratch (arms.search_s ended the search)."
    )


def converged_claim(comparison: Comparison, convergence: Convergence, accuracy: Interval) -> str:
    """What is left of the gain where the scratch arm was trained for longer."""
    limit = "until it no longer helped" if convergence.is_flat else "up to the limit, where it still improved"
    left = {
        "positive": "transfer stays ahead",
        "negative": "scratch overtakes",
        "equivalent": "no difference that matters is left",
        "inconclusive": "no difference is shown any more",
    }[comparison.verdict]
    return (
        f"Trained {limit} ({convergence.chosen_ratio:g} times as long), scratch gets {accuracy.mean:.1%} right and "
        f"{left}: {comparison.gain_points.in_points}."
    )
