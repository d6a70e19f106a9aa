"""Predictions of an arm as arrays of right and wrong: S seeds, N items."""

import numpy as np
import pandas as pd

from graft.errors import UnpairedRunsError
from graft.transfer.compare import Comparison


def correct_SN(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a seed, one column a sample_id, both sorted: 1 where the prediction is right, else 0."""
    right = (predictions["predicted"] == predictions["label"]).astype(int)
    return right.groupby([predictions["seed"], predictions["sample_id"]]).first().unstack()


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


def claim_of(comparison: Comparison, *, alpha: float, source: str, compute_ratio: float, convergence: str) -> str:
    """The one sentence that the numbers support."""
    gain = comparison.gain_points
    interval = f"{gain.mean:+.1f} points [{gain.low:+.1f}, {gain.high:+.1f}] at {100 * (1 - alpha):g} % confidence"
    budget = f"a model trained from scratch with {compute_ratio:.2f} times the compute ({convergence})"
    more = [
        f"{number:,} {words}"
        for number, words in ((comparison.seeds_needed, "seeds"), (comparison.items_needed, "test items"))
        if number is not None
    ]
    would_decide = f" {' or '.join(more)} in all would decide, if the gain stayed what it is." if more else ""
    return {
        "positive": f"Starting from {source} beats {budget} by {interval}.",
        "negative": f"Negative transfer: starting from {source} is worse than {budget}, by {interval}.",
        "equivalent": f"No difference that matters between starting from {source} and {budget}: {interval}.",
        "inconclusive": f"No difference shown between starting from {source} and {budget}: {interval}.{would_decide}",
    }[comparison.verdict]
