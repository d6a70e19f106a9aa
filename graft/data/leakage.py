"""Choice of the members of a duplicate cluster that are used, so that no cluster spans two splits.

A sample's split depends only on itself (graft.data.splits), so a cluster can fall into several. If its members were
moved together, one sample's split would depend on the others: a new copy of an old sample could move that one from
training to test. So nothing moves, except new clusters if a class is short of samples (graft.data.stratify). Samples
that would leak are set aside from the split that matters less: test keeps its own, then validation. Samples added to
other splits never remove one from the test split.
"""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graft.core.table_files import rows_written
from graft.data.duplicates import clusters
from graft.data.lookalikes import LookAlike

RANK = {"test": 0, "validation": 1, "train": 2}
DUPLICATE_COLUMNS = ["path_a", "path_b", "label_a", "label_b", "split_a", "split_b", "kind", "similarity"]


class Member(NamedTuple):
    sample_id: str
    path: str
    label: str
    split: str


def set_aside_duplicates(
    index: sqlite3.Connection, out_path: Path, lookalikes: list[LookAlike], split_for: Callable[[str, str, str], str]
) -> None:
    """Refills the index's table `judged`, and writes each pair of duplicates and look-alikes to `out_path`, a CSV file.

    Args:
        split_for: function of the split that the table gives a sample, its group and its sample_id.
    """
    numbers = _number_clusters(index, lookalikes)
    with index:
        index.execute("DROP TABLE IF EXISTS temp.clusters")
        index.execute("CREATE TEMP TABLE clusters (sample_id PRIMARY KEY, number) WITHOUT ROWID")
        index.executemany("INSERT INTO clusters VALUES (?, ?)", numbers.items())
    rows = index.execute(
        "SELECT c.number, f.sample_id, d.path, d.label, d.split, d.grouped FROM clusters c "
        "JOIN files f ON f.sample_id = c.sample_id AND f.status = 'ok' JOIN described d ON d.path = f.path "
        "ORDER BY c.number, d.path"
    )
    judged: list[tuple[str, str, str]] = []
    first_of: dict[str, Member] = {}
    pairs: list[tuple[Member, Member, str, float]] = []
    for _, cluster in groupby(rows, key=lambda row: row[0]):
        members = [
            Member(sample_id, path, label, split_for(split, group, sample_id))
            for _, sample_id, path, label, split, group in cluster
        ]
        judged += judge(members)
        for sample_id, (first, *copies) in by_content(members).items():
            first_of[sample_id] = first
            pairs += [(first, copy, "exact", 1.0) for copy in copies]
    for pair in lookalikes:
        kind = "near" if pair.is_near_duplicate else "alike"
        pairs.append((first_of[pair.a], first_of[pair.b], kind, pair.similarity))
    with index:
        index.execute("DELETE FROM judged")
        index.executemany("INSERT INTO judged VALUES (?, ?, ?)", judged)
    _write_pairs(out_path, pairs)


def judge(members: list[Member]) -> Iterator[tuple[str, str, str]]:
    """Yields (path, status, duplicate_of) of a cluster's members, which are sorted by path.

    Of exact copies, one is used: labelled ones first, then by split, then by path. Of these, those in the
    highest-ranked split of a labelled one are used; near duplicates within one split do no harm.
    """
    kept = [
        min(copies, key=lambda member: (member.label == "", RANK[member.split], member.path))
        for copies in by_content(members).values()
    ]
    split = min((member.label == "", RANK[member.split], member.split) for member in kept)[-1]
    first = members[0].path
    for member in members:
        status = "duplicate" if member not in kept else "ok" if member.split == split else "leak"
        yield member.path, status, "" if member.path == first else first


def by_content(members: list[Member]) -> dict[str, list[Member]]:
    """Members per sample_id, sorted by path."""
    by_id = sorted(members, key=attrgetter("sample_id", "path"))
    return {sample_id: list(copies) for sample_id, copies in groupby(by_id, key=attrgetter("sample_id"))}


def _number_clusters(index: sqlite3.Connection, lookalikes: list[LookAlike]) -> dict[str, int]:
    """sample_id -> number of its cluster, for samples with copies or look-alikes; a look-alike may be alone in it."""
    copied = index.execute("SELECT sample_id FROM files WHERE status = 'ok' GROUP BY sample_id HAVING count(*) > 1")
    ids = sorted({sample_id for (sample_id,) in copied} | {sample_id for pair in lookalikes for sample_id in pair[:2]})
    position = {sample_id: number for number, sample_id in enumerate(ids)}
    joined = [(position[pair.a], position[pair.b]) for pair in lookalikes if pair.is_near_duplicate]
    links = np.array(joined, dtype=np.int64).reshape(-1, 2)
    return dict(zip(ids, clusters(len(ids), links).tolist(), strict=True))


def _write_pairs(path: Path, pairs: list[tuple[Member, Member, str, float]]) -> None:
    rows = sorted(
        (a.path, b.path, a.label, b.label, a.split, b.split, kind, f"{similarity:.4f}")
        for one, other, kind, similarity in pairs
        for a, b in [sorted((one, other), key=attrgetter("path"))]
    )
    with rows_written(path, DUPLICATE_COLUMNS) as table:
        for row in rows:
            table.write(row)
