"""Stable splits: a sample's split follows from a hash of itself, or from the split that it was given before."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

Split = Literal["train", "validation", "test"]
SPLITS: list[str] = list(get_args(Split))


def split_of(unit: str, *, key: str, test_fraction: float, validation_fraction: float) -> Split:
    """The split of a unit (a group's name, or a lone sample's sha256).

    It follows from `position_of` alone, so new data never move old data, and raising `validation_fraction` moves
    samples from train to validation only. Every class gets the fractions in expectation, with binomial scatter:
    anything closer would make one sample's split depend on others.
    """
    position = position_of(unit, key)
    if position < test_fraction:
        return "test"
    if position < test_fraction + validation_fraction:
        return "validation"
    return "train"


def position_of(unit: str, key: str) -> float:
    """Uniform number in [0, 1): the first 64 bits of sha256(key:unit)."""
    return int.from_bytes(hashlib.sha256(f"{key}:{unit}".encode()).digest()[:8], "big") / 2**64


@dataclass(frozen=True)
class SplitRule:
    """Rule for a sample's split: the table's own, else the one that its unit was given before, else the one by hash."""

    key: str
    test_fraction: float
    validation_fraction: float
    remembered: Mapping[str, Split] = field(default_factory=dict)
    """Unit -> split that it was given, by hash or not; see `graft.data.stratify`."""

    def split_for(self, own_split: str, group: str, sample_id: str) -> str:
        unit = group or sample_id
        return own_split or self.remembered.get(unit) or self._by_hash(unit)

    def distance(self, unit: str, split: Split) -> float:
        """Distance of the unit's position from the split's range, 0..1; 0: the unit is there by hash."""
        first_validation, first_train = self.test_fraction, self.test_fraction + self.validation_fraction
        starts, ends = {
            "test": (0.0, first_validation), "validation": (first_validation, first_train), "train": (first_train, 1.0),
        }[split]  # fmt: skip
        position = position_of(unit, self.key)
        return max(starts - position, position - ends, 0.0)

    @property
    def fractions(self) -> dict[str, float]:
        return {"test": self.test_fraction, "validation": self.validation_fraction}

    @property
    def open_splits(self) -> set[str]:
        """Splits that this rule assigns; all samples of the others have theirs from the table."""
        return {"train", *(split for split, fraction in self.fractions.items() if fraction)}

    def with_moves(self, moves: Mapping[str, Split]) -> Self:
        return replace(self, remembered={**self.remembered, **moves})

    def _by_hash(self, unit: str) -> Split:
        return split_of(
            unit, key=self.key, test_fraction=self.test_fraction, validation_fraction=self.validation_fraction
        )
