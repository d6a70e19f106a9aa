"""Paths and words of labels.csv that are written otherwise than the files and classes that they mean.

Each kind is recognised where it leaves no doubt, counted, and said. What is not understood stays as it was written.
"""

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from graft.data.naming import split_named

Repair = Callable[[str], str]

BLANKS = "with blanks around"
ACCENTS = "with letters and accents apart"


class Repairs:
    """How many values of a table were read otherwise than they are written, by kind, with the first of each."""

    def __init__(self, data_dir: Path, suffixes: Collection[str]) -> None:
        """
        Args:
            suffixes: of samples; a path may lack its own.
        """
        self._suffixes = suffixes
        self._data_dir = os.fspath(data_dir)
        self._repairs_of_paths = self._in_their_order(data_dir.absolute().name)
        self._found: dict[tuple[str, str], tuple[int, str, str]] = {}

    def path(self, written: str) -> str:
        """The path of the file that is meant; as it is written where that is there, or nothing is found."""
        if self._is_there(written):
            return written
        path, kinds = written, list[str]()
        for kind, repair in self._repairs_of_paths:
            repaired = repair(path)
            if repaired != path:
                path, kinds = repaired, [*kinds, kind]
                if self._is_there(path):
                    for found in kinds:
                        self._note("path", found, written, path)
                    return path
        return written

    def word(self, column: str, written: str) -> str:
        """Without blanks around it, and with accents composed, so that what looks the same is the same."""
        word = written.strip()
        if word != written:
            self._note(column, BLANKS, written, word)
        composed = word if word.isascii() else unicodedata.normalize("NFC", word)
        if composed != word:
            self._note(column, ACCENTS, word, composed)
        return composed

    def split(self, written: str) -> str:
        word = self.word("split", written)
        meant = split_named(word, is_alone=True) or word
        if meant != word:
            self._note("split", "in another word", word, meant)
        return meant

    def notes(self, place: Path) -> Iterator[str]:
        """One line a kind, for what lies in `place`: a table or a data folder."""
        for (column, kind), (number, written, meant) in sorted(self._found.items()):
            yield f"{number} {column}(s) of {place} {kind}: {written!r} is read as {meant!r}"

    def _note(self, column: str, kind: str, written: str, meant: str) -> None:
        number, *example = self._found.get((column, kind), (0, written, meant))
        self._found[column, kind] = (number + 1, example[0], example[1])

    def _in_their_order(self, folder: str) -> list[tuple[str, Repair]]:
        return [
            (BLANKS, str.strip),
            ("with backslashes", _with_slashes),
            (f"that lead to {folder}/ first", partial(_below, folder)),
            (ACCENTS, self._recomposed),
            ("whose suffix is missing, or in other capitals", self._with_suffix),
        ]

    def _recomposed(self, path: str) -> str:
        forms = [unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)]
        return next((form for form in forms if form != path and self._is_there(form)), path)

    def _with_suffix(self, path: str) -> str:
        """Unchanged where more than one file would fit."""
        stem, suffix = os.path.splitext(path)
        if suffix.lower() in self._suffixes:
            candidates = {stem + suffix.lower(), stem + suffix.upper()}
        else:
            candidates = {path + other for known in self._suffixes for other in (known, known.upper())}
        fitting = [candidate for candidate in sorted(candidates) if self._is_there(candidate)]
        return fitting[0] if len(fitting) == 1 else path

    def _is_there(self, path: str) -> bool:
        """An absolute path, or one that leaves the data folder, is never the name of a sample."""
        leads_away = path.startswith("/") or (".." in path and posixpath.normpath(path).startswith(".."))
        return path != "" and not leads_away and os.path.lexists(f"{self._data_dir}/{path}")


def _with_slashes(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")) if "\\" in path else path


def _below(folder: str, path: str) -> str:
    """What follows the last `folder` in a path, as in C:/Users/ann/data/images/a.png."""
    _, found, after = f"/{path}".rpartition(f"/{folder}/")
    return after if found else path


def hardly_different(classes: list[str]) -> Iterator[str]:
    """A line for each set of classes that capitals, blanks or hyphens alone keep apart."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        is_worded = any(character.isalpha() for character in name)  # -1 and 1 are two classes
        alike.setdefault(re.sub(r"[\s_-]+", "", name).casefold() if is_worded else name, []).append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = ", ".join(repr(name) for name in names)
            yield (
                f"classes that differ by capitals, blanks or hyphens alone: {listed}. If they are one, write it one way"
            )
