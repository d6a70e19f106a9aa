"""Index of all files in SQLite, so that ingest streams, and reads again only what has changed.

    files      result of reading a file, by path; valid as long as the file's size, times and inode stay the same. The
               measurements of its modality are one column of JSON
    pairs      similarity of two samples, by content
    described  the description by the folder or its table (of this run only)
    judged     samples of duplicate clusters: which are set aside, and what they duplicate (of this run only)

The file is a cache and may be deleted at any time.
"""

import json
import os
import sqlite3
import time
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from graft.core.errors import LabelsError
from graft.data.describe import MAX_EXAMPLES, DescribedSample
from graft.modalities.base import Reading

SCHEMA_VERSION = 3
BATCH_ROWS = 2_000
SETTLED_NS = 1_000_000_000

_DESCRIBED = ["path", "label", "grouped", "domain", "weight", "split"]
_SCHEMA = f"""
    CREATE TABLE IF NOT EXISTS files
        (path PRIMARY KEY, stamp, reader, checksum, {", ".join(Reading._fields)}) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS pairs (a, b, verifier, similarity, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TEMP TABLE described (path PRIMARY KEY, {", ".join(_DESCRIBED[1:])}, problem, folded) WITHOUT ROWID;
    CREATE TEMP TABLE judged (path PRIMARY KEY, status, duplicate_of) WITHOUT ROWID;
    PRAGMA user_version = {SCHEMA_VERSION};
"""


@contextmanager
def open_index(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens the index; one that is damaged or of another version is created again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        index = _connect(path)
    except sqlite3.DatabaseError:
        for file in path.parent.glob(path.name + "*"):
            file.unlink()
        index = _connect(path)
    with closing(index):
        yield index


def _connect(path: Path) -> sqlite3.Connection:
    index = sqlite3.connect(path, timeout=60)
    version = index.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION) or index.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        index.close()
        raise sqlite3.DatabaseError("to be created again")
    index.execute("PRAGMA journal_mode = WAL")
    index.execute("PRAGMA synchronous = OFF")
    index.executescript(_SCHEMA)
    return index


def store_description(index: sqlite3.Connection, samples: Iterable[DescribedSample]) -> int:
    """Stores the samples and returns their number; unsafe names get a problem, as "<code>: <words>".

    Raises:
        LabelsError: a path is named twice.
    """
    num_described, twice = 0, []
    with index:
        for sample in samples:
            words = [_storable(word) for word in (sample.path, sample.label, sample.group, sample.domain)]
            problem = "" if words[0] == sample.path else "bad_name: it is not UTF-8"
            row = (*words, sample.weight, sample.split, problem, _folded(words[0]))
            added = index.execute(f"INSERT OR IGNORE INTO described VALUES ({_marks(8)})", row)
            num_described += added.rowcount
            if not added.rowcount:
                twice.append(words[0])
        index.execute("CREATE INDEX temp.by_folded ON described (folded)")
        index.execute(
            "UPDATE described SET problem = 'same_name: another differs only in capitals or accents' WHERE folded IN "
            "(SELECT folded FROM described GROUP BY folded HAVING count(*) > 1)"
        )
        index.execute("DELETE FROM files WHERE path NOT IN (SELECT path FROM described)")
    if twice:
        examples = "\n".join(f"  {path}" for path in twice[:MAX_EXAMPLES])
        raise LabelsError(f"{len(twice)} row(s) of the table repeat a path:\n{examples}")
    return num_described


def batches_by_path(index: sqlite3.Connection, query: str) -> Iterator[list[tuple]]:
    """Yields the rows of `query` by path in batches, between which the index may change.

    Args:
        query: its first column is `d.path`; it ends in the condition `WHERE d.path > ?`.
    """
    after = ""
    while rows := index.execute(f"{query} ORDER BY d.path LIMIT {BATCH_ROWS}", (after,)).fetchall():
        yield rows
        after = rows[-1][0]


def count_not_described(index: sqlite3.Connection, paths: Iterable[str]) -> int:
    with index:
        index.execute("CREATE TEMP TABLE present (path PRIMARY KEY) WITHOUT ROWID")
        index.executemany("INSERT INTO present VALUES (?)", ((_storable(path),) for path in paths))
    return index.execute("SELECT count(*) FROM present WHERE path NOT IN (SELECT path FROM described)").fetchone()[0]


def known_stamps(index: sqlite3.Connection, paths: Sequence[str], reader: str) -> dict[str, str]:
    """Path -> stamp of the file when this `reader` read it; rows that do not match their checksum are skipped."""
    rows = index.execute(
        f"SELECT * FROM files WHERE reader = ? AND path IN ({_marks(len(paths))})", (reader, *paths)
    ).fetchall()
    return {path: stamp for path, stamp, _, checksum, *reading in rows if checksum == _checksum(path, stamp, reading)}


def remember(index: sqlite3.Connection, reader: str, readings: Iterable[tuple[str, str, Reading]]) -> None:
    """Stores readings: (path, stamp, reading)."""
    rows = []
    for path, stamp, reading in readings:
        fields = reading._replace(measured=json.dumps(reading.measured))  # type: ignore[arg-type]
        rows.append((path, stamp, reader, _checksum(path, stamp, fields), *fields))
    with index:
        index.executemany(f"INSERT OR REPLACE INTO files VALUES ({_marks(4 + len(Reading._fields))})", rows)


def stamp_of(path: Path) -> str:
    """Stamp that changes whenever the file does, even if its modification time is set back: ctime cannot be.

    It is empty, which never matches, if the file is missing or changed so recently that it may change again within
    the clock's resolution.
    """
    try:
        found = os.stat(path)
    except OSError:
        return ""
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED_NS:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


def _checksum(path: str, stamp: str, reading: Iterable[object]) -> int:
    return zlib.crc32(repr((path, stamp, *reading)).encode())


def _marks(number: int) -> str:
    return ", ".join("?" * number)


def _storable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _folded(path: str) -> str:
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
