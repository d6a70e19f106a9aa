"""Names of files, folders and columns: which speak of a split, and how they are listed in a message."""

import re
from collections.abc import Iterable

SPLIT_WORDS = {
    **dict.fromkeys(["train", "training", "trainset", "traindata"], "train"),
    **dict.fromkeys(["val", "valid", "validation", "validate", "dev", "valset", "validset"], "validation"),
    **dict.fromkeys(["test", "testing", "testset", "testdata", "eval", "evaluation"], "test"),
}
MAX_NAMED = 8


def split_named(name: str, *, is_alone: bool = False) -> str | None:
    """The split that a name speaks of: `Training`, `cats_train`, `testSet2`; with `is_alone`, as a whole only."""
    if is_alone:
        return SPLIT_WORDS.get(name.strip().lower())
    return next((SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS), None)


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def listed(names: Iterable[str]) -> str:
    """The first of them, quoted."""
    quoted = [repr(name) for name in names]
    more = f" and {len(quoted) - MAX_NAMED} more" if len(quoted) > MAX_NAMED else ""
    return ", ".join(quoted[:MAX_NAMED]) + more
