"""Paths and words of labels.csv that are spelled differently from the files and classes that they mean.

Each kind is recognised if it is unambiguous, counted and reported. Anything else stays as it was written.
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

BLANKS = "with surrounding blanks"
ACCENTS = "with decomposed accents"


class Repairs:
    """Repairs of a table's values, counted by kind, with the first example of each."""

    def __init__(self, data_dir: Path, suffixes: Collection[str]) -> None:
        """
        Args:
            suffixes: suffixes of samples; a path may lack its own.
        """
        self._suffixes = suffixes
        self._data_dir = os.fspath(data_dir)
        self._repairs_of_paths = self._in_their_order(data_dir.absolute().name)
        self._found: dict[tuple[str, str], tuple[int, str, str]] = {}

    def path(self, written: str) -> str:
        """Path of the file that is meant; unchanged if it exists as written, or if no file is found."""
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
        """The word without surrounding blanks and with composed accents, so that words that look equal are equal."""
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
        """Yields one line per kind of repair in `place`, a table or a data folder."""
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
        """Path with the suffix of the file that exists; unchanged if more than one would fit."""
        stem, suffix = os.path.splitext(path)
        if suffix.lower() in self._suffixes:
            candidates = {stem + suffix.lower(), stem + suffix.upper()}
        else:
            candidates = {path + other for known in self._suffixes for other in (known, known.upper())}
        fitting = [candidate for candidate in sorted(candidates) if self._is_there(candidate)]
        return fitting[0] if len(fitting) == 1 else path

    def _is_there(self, path: str) -> bool:
        """Whether the path names a file; one that is absolute or leaves the data folder never does."""
        leads_away = path.startswith("/") or (".." in path and posixpath.normpath(path).startswith(".."))
        return path != "" and not leads_away and os.path.lexists(f"{self._data_dir}/{path}")


def _with_slashes(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")) if "\\" in path else path


def _below(folder: str, path: str) -> str:
    """Part of a path after the last `folder`, as in C:/Users/ann/data/images/a.png."""
    _, found, after = f"/{path}".rpartition(f"/{folder}/")
    return after if found else path


def similar_class_names(classes: list[str]) -> Iterator[str]:
    """Yields a line for each set of classes that differ only in capitals, blanks or hyphens."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        is_worded = any(character.isalpha() for character in name)  # -1 and 1 are two classes
        alike.setdefault(re.sub(r"[\s_-]+", "", name).casefold() if is_worded else name, []).append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = ", ".join(repr(name) for name in names)
            yield (
                f"classes that differ only in capitals, blanks or hyphens: {listed}. "
                "If they are one class, spell it one way"
            )
