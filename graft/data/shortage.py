"""Reasons why a class cannot be trained and tested on, and what to do about them."""

from collections.abc import Iterator, Set

import pandas as pd

from graft.data.manifest import SET_ASIDE, usable_samples
from graft.data.stratify import MIN_PER_SPLIT, GivenSplits, count_used
from graft.data.units import sampling_units

MIN_PER_CLASS = 2 * MIN_PER_SPLIT
"""Samples of a class needed for training and testing; validation can do without a class that has no more."""


def shortages(samples: pd.DataFrame, given: GivenSplits, own_paths: Set[str]) -> list[str]:
    """Shortages, each with its cause and remedy; empty if the data suffice.

    Args:
        samples, given, own_paths: see `graft.data.stratify.moves_for_short_classes`.
    """
    counts, usable = count_used(samples), usable_samples(samples).assign(unit="")
    if not len(usable):
        return []
    usable["unit"] = sampling_units(usable)
    found = []
    for label in sorted(set(usable["label"])):
        if min(counts["train"][label], counts["test"][label]) < MIN_PER_SPLIT:
            there = ", ".join(f"{of_split[label]} in {split}" for split, of_split in counts.items())
            cause = _cause(samples, usable[usable["label"] == label], label, given, own_paths)
            found.append(f"class {label!r} ({there}): {cause}")
    return found or list(_of_all_classes(usable))


def _cause(samples: pd.DataFrame, usable: pd.DataFrame, label: str, given: GivenSplits, own_paths: Set[str]) -> str:
    of_class, num = samples[samples["label"] == label], len(usable)
    if num < MIN_PER_CLASS:
        others = {
            "set aside as copies or near duplicates": int(of_class["status"].isin(SET_ASIDE).sum()),
            "quarantined": int((~of_class["status"].isin(["ok", *SET_ASIDE])).sum()),
        }
        besides = "".join(f"; {number} more {words}" for words, number in others.items() if number)
        return (
            f"{num} usable sample(s); at least {MIN_PER_CLASS} are needed{besides}. Add samples, merge the class "
            "with another, or remove it."
        )
    if num_own := int(usable["path"].isin(own_paths).sum()):
        return (
            f"the table names the split of {num_own} of its {num} samples. Name another split for some of them, or "
            "leave the column `split` empty to let Graft decide."
        )
    sizes = usable["unit"].value_counts()
    if label in given.large_classes or label in given.small_classes:
        return (
            "its samples were split by an earlier run (splits.json) and stay where they are. Add samples; if they fall "
            "into a split other than the one that is short, name it in the column `split` of the table. If no earlier "
            "result needs to stay comparable, delete splits.json: everything is then split again."
        )
    return (
        f"its {num} samples are {len(sizes)} group(s) or clusters of near duplicates, the largest of {sizes.iloc[0]}, "
        "and each goes to one split as a whole. Add samples of other groups; name smaller groups if their parts are "
        "independent; or raise ingest.near_duplicate_similarity if different objects only look alike."
    )


def _of_all_classes(usable: pd.DataFrame) -> Iterator[str]:
    in_split = usable["split"].value_counts()
    if in_split.get("validation", 0) < MIN_PER_SPLIT:
        yield (
            f"all classes ({in_split.get('validation', 0)} in validation): too few samples are left for the split that "
            f"the best seed is chosen on, which needs {MIN_PER_SPLIT} in total. One class of {3 * MIN_PER_SPLIT} "
            "samples that do not share a group is enough: add samples."
        )
    if usable.loc[usable["split"] == "train", "unit"].nunique() < 2:
        yield (
            "all classes: the training samples are a single group, and cross-validation needs two. Add samples of "
            "other groups, or name smaller groups if their parts are independent."
        )
