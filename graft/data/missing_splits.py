"""Splits that no sample is given: some of the training samples fill them."""

import sqlite3
from collections.abc import Callable, Mapping

from graft.data.splits import SPLITS


def resplit_training_samples(
    index: sqlite3.Connection, fractions: Mapping[str, float], say: Callable[[str], None]
) -> dict[str, float]:
    """Frees training samples from their split, to be split by hash, if tables or folders give every labelled sample a
    split but leave one of the three empty, as data/train and data/test do.

    Args:
        index: database in which every file is described.
        fractions: fractions of the test and the validation split; see `graft.data.splits.split_of`.
        say: receives a line about each split that is filled.
    Returns:
        Fractions for samples without a split: 0 for a split that is given.
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
