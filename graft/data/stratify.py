"""Every class in every split: where the hash leaves a class short in one, the nearest by hash are moved there.

A move is for ever: were it decided anew in each run, a sample that was tested on would be learnt from as soon as others
had filled its class. So splits.json, committed beside dvc.lock, remembers every sample of a small class, and which
classes were split without help. Only what is new there may move; what was given a split keeps it. What cannot be torn
(a group, a cluster of near duplicates) moves as a whole or not at all.
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
SMALL = 10
"""A class is small where a split holds fewer samples of it: only small ones come to need a move."""
FILL_ORDER: list[Split] = ["test", "train", "validation"]
"""Nothing can be said of a class without the first two; the last makes do with what they leave."""

Counts = Mapping[str, Mapping[str, int]]
"""Split -> class -> number of samples that are used."""


class GivenSplits(Artifact):
    """What has been given under one `ingest.split_key`."""

    fractions: dict[str, float]
    """Of the last run, by split; empty before the first."""
    large_classes: list[str]
    """Split by hash; nothing of them moves any more."""
    small_classes: list[str]
    """Every unit of them is remembered, so that another one is new."""
    units: dict[str, Split]
    """A group, or the sha256 of a sample without one -> its split."""


class SplitMemory(KeptInGit):
    """splits.json."""

    NAME: ClassVar = GIVEN_SPLITS

    EMPTY: ClassVar = {"by_key": {}}
    DAMAGE: ClassVar = "does not say which splits samples were given"

    by_key: dict[str, GivenSplits]

    def given(self, key: str) -> GivenSplits:
        return self.by_key.get(key, GivenSplits(fractions={}, large_classes=[], small_classes=[], units={}))

    def plus(self, rule: SplitRule, counts: Counts, units: Mapping[str, Split]) -> Self:
        """
        Args:
            counts: of the data as they were split.
            units: those of small classes, and those that were moved.
        """
        before, small = self.given(rule.key), set(classes_below(SMALL, counts))
        large = counts["train"].keys() - small
        given = GivenSplits(
            fractions=rule.fractions,
            large_classes=sorted({*before.large_classes} - small | large),
            small_classes=sorted({*before.small_classes} - large | small),
            units=dict(sorted({**before.units, **units}.items())),
        )
        return self.model_copy(update={"by_key": dict(sorted({**self.by_key, rule.key: given}.items()))})


@dataclass
class Block:
    """Samples that stay together, because they share a group or are near duplicates."""

    units: set[str] = field(default_factory=set)
    """Each with a split of its own by hash."""
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(split, class) -> number of samples that are used."""
    whole: Counter[str] = field(default_factory=Counter)
    """Class -> number of samples that are used where all of it lies in one split."""

    def can_fill(self, split: Split, label: str, counts: Counts) -> bool:
        """Whether its move adds to the class there, and leaves every class enough where it was.

        Validation may lose all: see FILL_ORDER.
        """
        is_more = self.whole[label] > self.used[split, label]
        return is_more and all(donor == "validation" for donor, _ in self._made_short(split, counts))

    def cost(self, split: Split, counts: Counts, rule: SplitRule) -> tuple[int, int, float, str]:
        """The lowest is moved: what leaves no class short elsewhere, then few samples, then near by hash."""
        distance = min(rule.distance(unit, split) for unit in self.units)
        return len(self._made_short(split, counts)), self.whole.total(), distance, min(self.units)

    def _made_short(self, split: Split, counts: Counts) -> list[tuple[str, str]]:
        """(split, class) that its move would leave with too few."""
        return [
            (donor, label)
            for (donor, label), num in self.used.items()
            if donor != split and counts[donor][label] - num < MIN_PER_SPLIT
        ]


def count_used(samples: pd.DataFrame) -> dict[str, Counter[str]]:
    used = samples[(samples["status"] == "ok") & (samples["label"] != "")]
    return {split: Counter(used.loc[used["split"] == split, "label"].to_list()) for split in SPLITS}


def classes_below(least: int, counts: Counts) -> list[str]:
    """Those with fewer samples than that in a split."""
    classes = sorted(set[str]().union(*counts.values()))
    return [label for label in classes if any(counts[split].get(label, 0) < least for split in SPLITS)]


def units_of_small_classes(samples: pd.DataFrame, counts: Counts, own_paths: Set[str]) -> dict[str, Split]:
    """Unit -> split, of all that a small class has; where the table names the split, nothing needs to be remembered."""
    is_small = is_readable(samples) & samples["label"].isin(classes_below(SMALL, counts))
    small = samples[is_small & ~samples["path"].isin(own_paths)]
    return dict(zip(split_units(small), small["split"], strict=True))


def moves_for_short_classes(
    samples: pd.DataFrame, rule: SplitRule, given: GivenSplits, own_paths: Set[str]
) -> dict[str, Split]:
    """Unit -> split: what brings each class to MIN_PER_SPLIT samples in each split, or as near to it as possible.

    As few samples as possible move, and among equals those whose hash lies nearest.

    Args:
        samples: the manifest under `rule`, at least the columns sample_id, path, label, group, split, duplicate_of and
            status.
        given: by earlier runs.
        own_paths: of the samples whose split the table names.
    """
    counts = count_used(samples)
    blocks = movable_blocks(samples, classes_below(MIN_PER_SPLIT, counts), given, own_paths)
    moves: dict[str, Split] = {}
    for split in (split for split in FILL_ORDER if split in rule.open_splits):
        for label in classes_below(MIN_PER_SPLIT, counts):
            while counts[split][label] < MIN_PER_SPLIT:
                donors = [block for block in blocks if block.can_fill(split, label, counts)]
                if not donors:
                    break
                nearest = min(donors, key=lambda block: block.cost(split, counts, rule))
                blocks.remove(nearest)
                for (donor, lost), num in nearest.used.items():
                    counts[donor][lost] -= num
                counts[split].update(nearest.whole)
                moves |= dict.fromkeys(nearest.units, split)
    return moves


def movable_blocks(
    samples: pd.DataFrame, classes: Collection[str], given: GivenSplits, own_paths: Set[str]
) -> list[Block]:
    """Those with a sample of these classes, of which all is new; for the arguments see `moves_for_short_classes`."""
    readable = samples[is_readable(samples)]
    block_N = pd.Series(sampling_units(readable), index=readable.index)
    is_given = split_units(readable).isin(given.units) | readable["label"].isin(given.large_classes)
    is_fixed = is_given | readable["path"].isin(own_paths)
    wanted = set(block_N[readable["label"].isin(classes)]) - set(block_N[is_fixed])
    blocks: dict[str, Block] = {name: Block() for name in sorted(wanted)}
    chosen = readable.assign(unit=split_units(readable), block=block_N)[block_N.isin(wanted)]
    for row in chosen.itertuples():
        block = blocks[str(row.block)]
        block.units.add(str(row.unit))
        if row.label and row.status != "duplicate":
            block.whole[str(row.label)] += 1
        if row.label and row.status == "ok":
            block.used[str(row.split), str(row.label)] += 1
    return list(blocks.values())


def split_units(samples: pd.DataFrame) -> pd.Series:
    """What the split of each sample follows from: its group, or itself."""
    return samples["group"].where(samples["group"] != "", samples["sample_id"])


def is_readable(samples: pd.DataFrame) -> pd.Series:
    return samples["status"].isin(["ok", *SET_ASIDE])
