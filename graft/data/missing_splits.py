"""Splits that nobody is given: a part of the training samples gets them."""

import sqlite3
from collections.abc import Callable, Mapping

from graft.data.splits import SPLITS


def free_training_samples(
    index: sqlite3.Connection, fractions: Mapping[str, float], say: Callable[[str], None]
) -> dict[str, float]:
    """Where every labelled sample has a split by table or folder, and one of the three is nobody's, as with data/train
    and data/test, training samples lose theirs, and are split like samples that nobody gave one.

    Args:
        index: every file is described.
        fractions: of the test and the validation split, see `graft.data.splits.split_of`.
        say: takes a line about each split that is filled.
    Returns:
        The fractions that hold for what has no split: 0 for a split that is given.
    """
    given = {split for (split,) in index.execute("SELECT DISTINCT split FROM described WHERE label != ''")}
    missing = sorted(set(SPLITS) - given)
    if "" in given or "train" not in given or not missing:
        return dict(fractions)
    with index:
        index.execute("UPDATE described SET split = '' WHERE split = 'train'")
    for split in missing:
        share = f"{fractions[split]:g} of the training samples get it (ingest.{split}_fraction)"
        say(f"no sample has the split {split}: {share}")
    return {split: fraction if split in missing else 0.0 for split, fraction in fractions.items()}
