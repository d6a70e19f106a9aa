"""Moves samples so that every class is in every split: where the hash leaves a class short, the nearest by hash move.

A move is permanent: if each run decided again, a test sample would become a training sample as soon as others had
filled its class. So splits.json, committed next to dvc.lock, records every sample of a small class, and the classes
that were split without help. Only new samples may move; those that were given a split keep it. Samples that belong
together (a group, a cluster of near duplicates) move as a whole or not at all.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from typing import ClassVar, Self

import pandas as pd

from graft.core.artifacts import GIVEN_SPLITS, Artifact, KeptInGit
from graft.data.manifest import SET_ASIDE
from graft.data.splits import SPLITS, Split, SplitRule
from graft.data.units import sampling_units

MIN_PER_SPLIT = 2
SMALL_CLASS_SIZE = 10
"""Number of samples in a split below which a class is small; only small classes can need a move."""
FILL_ORDER: list[Split] = ["test", "train", "validation"]
"""Splits in the order in which they are filled: a class needs test and training samples most."""

Counts = Mapping[str, Mapping[str, int]]
"""Split -> class -> number of used samples."""


class GivenSplits(Artifact):
    """Splits that were assigned under one `ingest.split_key`."""

    fractions: dict[str, float]
    """Fractions of the last run, by split; empty before the first."""
    large_classes: list[str]
    """Classes that are split by hash; their samples no longer move."""
    small_classes: list[str]
    """Classes whose units are all recorded, so that any other unit is new."""
    units: dict[str, Split]
    """Group, or sha256 of a sample without a group -> its split."""


class SplitMemory(KeptInGit):
    """Content of splits.json."""

    NAME: ClassVar = GIVEN_SPLITS

    EMPTY: ClassVar = {"by_key": {}}
    DAMAGE: ClassVar = "does not say which splits samples were given"

    by_key: dict[str, GivenSplits]

    def given(self, key: str) -> GivenSplits:
        return self.by_key.get(key, GivenSplits(fractions={}, large_classes=[], small_classes=[], units={}))

    def plus(self, rule: SplitRule, counts: Counts, units: Mapping[str, Split]) -> Self:
        """
        Args:
            counts: counts of the data as they were split.
            units: units of small classes, and units that were moved.
        """
        before, small = self.given(rule.key), set(classes_below(SMALL_CLASS_SIZE, counts))
        large = counts["train"].keys() - small
        given = GivenSplits(
            fractions=rule.fractions,
            large_classes=sorted({*before.large_classes} - small | large),
            small_classes=sorted({*before.small_classes} - large | small),
            units=dict(sorted({**before.units, **units}.items())),
        )
        return self.model_copy(update={"by_key": dict(sorted({**self.by_key, rule.key: given}.items()))})


@dataclass
class Bundle:
    """Samples that stay together, because they share a group or are near duplicates."""

    units: set[str] = field(default_factory=set)
    """Units, each with its own split by hash."""
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Split, class) -> number of used samples."""
    whole: Counter[str] = field(default_factory=Counter)
    """Class -> number of samples that would be used if the whole bundle were in one split."""

    def can_fill(self, split: Split, label: str, counts: Counts) -> bool:
        """Whether its move adds to the class in `split`, and leaves enough of every class in the splits it comes from.

        Validation may lose all samples; see FILL_ORDER.
        """
        is_more = self.whole[label] > self.used[split, label]
        return is_more and all(donor == "validation" for donor, _ in self._made_short(split, counts))

    def cost(self, split: Split, counts: Counts, rule: SplitRule) -> tuple[int, int, float, str]:
        """Sort key; the lowest is moved: least shortage in other splits, then fewest samples, then nearest by hash."""
        distance = min(rule.distance(unit, split) for unit in self.units)
        return len(self._made_short(split, counts)), self.whole.total(), distance, min(self.units)

    def _made_short(self, split: Split, counts: Counts) -> list[tuple[str, str]]:
        """(Split, class) pairs that its move would leave with too few samples."""
        return [
            (donor, label)
            for (donor, label), num in self.used.items()
            if donor != split and counts[donor][label] - num < MIN_PER_SPLIT
        ]


def count_used(samples: pd.DataFrame) -> dict[str, Counter[str]]:
    used = samples[(samples["status"] == "ok") & (samples["label"] != "")]
    return {split: Counter(used.loc[used["split"] == split, "label"].to_list()) for split in SPLITS}


def classes_below(least: int, counts: Counts) -> list[str]:
    """Classes with fewer than `least` samples in any split."""
    classes = sorted(set[str]().union(*counts.values()))
    return [label for label in classes if any(counts[split].get(label, 0) < least for split in SPLITS)]


def units_of_small_classes(samples: pd.DataFrame, counts: Counts, own_paths: Set[str]) -> dict[str, Split]:
    """Unit -> split of all samples of small classes, except those whose split the table names."""
    is_small = is_readable(samples) & samples["label"].isin(classes_below(SMALL_CLASS_SIZE, counts))
    small = samples[is_small & ~samples["path"].isin(own_paths)]
    return dict(zip(split_units(small), small["split"], strict=True))


def moves_for_short_classes(
    samples: pd.DataFrame, rule: SplitRule, given: GivenSplits, own_paths: Set[str]
) -> dict[str, Split]:
    """Moves (unit -> split) that bring each class to MIN_PER_SPLIT samples in each split, or as near as possible.

    As few samples as possible move; among equals, those nearest by hash.

    Args:
        samples: the manifest under `rule`, at least the columns sample_id, path, label, group, split, duplicate_of and
            status.
        given: splits given by earlier runs.
        own_paths: paths of the samples whose split the table names.
    """
    counts = count_used(samples)
    bundles = movable_bundles(samples, classes_below(MIN_PER_SPLIT, counts), given, own_paths)
    moves: dict[str, Split] = {}
    for split in (split for split in FILL_ORDER if split in rule.open_splits):
        for label in classes_below(MIN_PER_SPLIT, counts):
            while counts[split][label] < MIN_PER_SPLIT:
                donors = [bundle for bundle in bundles if bundle.can_fill(split, label, counts)]
                if not donors:
                    break
                nearest = min(donors, key=lambda bundle: bundle.cost(split, counts, rule))
                bundles.remove(nearest)
                for (donor, lost), num in nearest.used.items():
                    counts[donor][lost] -= num
                counts[split].update(nearest.whole)
                moves |= dict.fromkeys(nearest.units, split)
    return moves


def movable_bundles(
    samples: pd.DataFrame, classes: Collection[str], given: GivenSplits, own_paths: Set[str]
) -> list[Bundle]:
    """Entirely new bundles with a sample of these classes; for the arguments see `moves_for_short_classes`."""
    readable = samples[is_readable(samples)]
    bundle_N = pd.Series(sampling_units(readable), index=readable.index)
    is_given = split_units(readable).isin(given.units) | readable["label"].isin(given.large_classes)
    is_fixed = is_given | readable["path"].isin(own_paths)
    wanted = set(bundle_N[readable["label"].isin(classes)]) - set(bundle_N[is_fixed])
    bundles: dict[str, Bundle] = {name: Bundle() for name in sorted(wanted)}
    chosen = readable.assign(unit=split_units(readable), bundle=bundle_N)[bundle_N.isin(wanted)]
    for row in chosen.itertuples():
        bundle = bundles[str(row.bundle)]
        bundle.units.add(str(row.unit))
        if row.label and row.status != "duplicate":
            bundle.whole[str(row.label)] += 1
        if row.label and row.status == "ok":
            bundle.used[str(row.split), str(row.label)] += 1
    return list(bundles.values())


def split_units(samples: pd.DataFrame) -> pd.Series:
    """Unit that determines each sample's split: its group, or the sample itself."""
    return samples["group"].where(samples["group"] != "", samples["sample_id"])


def is_readable(samples: pd.DataFrame) -> pd.Series:
    return samples["status"].isin(["ok", *SET_ASIDE])
