"""Splits that never move: where a sample goes follows from a hash of itself and nothing else."""

import hashlib

SPLITS = ["train", "validation", "test"]


def split_of(unit: str, *, key: str, test_fraction: float, validation_fraction: float) -> str:
    """The split of a unit (a group's name, or a lone sample's sha256): "train", "validation" or "test".

    The first 64 bits of sha256(key:unit) are a uniform number in [0, 1), so new data never moves old data,
    and raising `validation_fraction` moves samples from train to validation only. Every class gets the fractions in
    expectation, and binomial scatter around them: anything closer would make one sample's split hang on others.
    """
    digest = hashlib.sha256(f"{key}:{unit}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < test_fraction:
        return "test"
    if position < test_fraction + validation_fraction:
        return "validation"
    return "train"
