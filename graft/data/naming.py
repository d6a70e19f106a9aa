"""Names of files, folders and columns: words for splits, and lists of names in messages."""

import re
from collections.abc import Iterable

SPLIT_WORDS = {
    **dict.fromkeys(["train", "training", "trainset", "traindata"], "train"),
    **dict.fromkeys(["val", "valid", "validation", "validate", "dev", "valset", "validset"], "validation"),
    **dict.fromkeys(["test", "testing", "testset", "testdata", "eval", "evaluation"], "test"),
}
MAX_NAMED = 8


def split_named(name: str, *, is_alone: bool = False) -> str | None:
    """Split that a name contains: `Training`, `cats_train`, `testSet2`; with `is_alone`, that the whole name means."""
    if is_alone:
        return SPLIT_WORDS.get(name.strip().lower())
    return next((SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS), None)


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def listed(names: Iterable[str]) -> str:
    """The first names, quoted, and the number of the others."""
    quoted = [repr(name) for name in names]
    more = f" and {len(quoted) - MAX_NAMED} more" if len(quoted) > MAX_NAMED else ""
    return ", ".join(quoted[:MAX_NAMED]) + more
