"""Splits that nobody is given: a part of the training samples gets them."""

import sqlite3
from collections.abc import Callable, Mapping

from graft.data.splits import SPLITS, split_of


def fill_missing_splits(
    index: sqlite3.Connection, key: str, fractions: Mapping[str, float], say: Callable[[str], None]
) -> None:
    """Where every labelled sample has a split by table or folder, and one of the three is nobody's, as with data/train
    and data/test, training samples get it by the hash of their group or else of their content.

    Args:
        index: every file is read.
        key, fractions: see `graft.data.splits.split_of`; of the training samples here.
        say: takes a line about each split that is filled.
    """
    given = {split for (split,) in index.execute("SELECT DISTINCT split FROM described WHERE label != ''")}
    missing = sorted(set(SPLITS) - given)
    if "" in given or "train" not in given or not missing:
        return
    shares = {split: fraction if split in missing else 0 for split, fraction in fractions.items()}

    def split_for(unit: str) -> str:
        return split_of(unit, key=key, test_fraction=shares["test"], validation_fraction=shares["validation"])

    index.create_function("split_for", 1, split_for, deterministic=True)
    with index:
        index.execute(
            "UPDATE described SET split = (SELECT split_for(iif(grouped = '', f.sample_id, grouped)) FROM files f "
            "WHERE f.path = described.path) WHERE split = 'train'"
        )
    for split in missing:
        share = f"{fractions[split]:g} of the training samples get it (ingest.{split}_fraction)"
        say(f"no sample has the split {split}: {share}")
