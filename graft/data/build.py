"""Builds the manifest of a folder of samples batch by batch, so that the files are never all in memory."""

import json
import sqlite3
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from graft.core.artifacts import DUPLICATES, MANIFEST, QUARANTINE
from graft.core.files import fingerprint, written_atomically
from graft.core.progress import progress_bar
from graft.core.table_files import rows_written
from graft.data.describe import describe_samples
from graft.data.folders import files_below
from graft.data.index import (
    batches_by_path,
    count_not_described,
    known_stamps,
    open_index,
    remember,
    stamp_of,
    store_description,
)  # fmt: skip
from graft.data.leakage import set_aside_duplicates
from graft.data.lookalikes import LookAlike, find_lookalikes
from graft.data.manifest import column_types, read_manifest, schema_of
from graft.data.missing_splits import resplit_training_samples
from graft.data.profile import Profile, Tally
from graft.data.reading import decoding, read_sample, remedies_of
from graft.data.repairs import similar_class_names
from graft.data.shortage import shortages
from graft.data.splits import Split, SplitRule
from graft.data.stratify import (
    SMALL_CLASS_SIZE,
    SplitMemory,
    classes_below,
    moves_for_short_classes,
    units_of_small_classes,
)
from graft.data.tables import labels_table
from graft.data.workers import Workers, open_workers
from graft.modalities.base import Modality, Reading

FILES_PER_TASK = 50
PARQUET_ROWS = 20_000
COLUMNS_OF_SPLITTING = ["sample_id", "path", "label", "group", "split", "duplicate_of", "status"]


@dataclass(frozen=True)
class IngestRules:
    split_key: str
    test_fraction: float
    validation_fraction: float
    accept: Collection[str]
    """Reasons for quarantine that are waived; see `Modality.waivable`."""
    near_duplicate_similarity: float | None
    """Similarity (0..1) from which two samples are near duplicates; None: only exact copies are searched for."""
    ignored_columns: Collection[str] = ()
    """Columns of the label table that are not read."""


class BuiltManifest(NamedTuple):
    profile: Profile
    memory: SplitMemory
    """Split memory including this run; to be saved once the data have passed all checks."""
    num_moved: int
    """Number of samples and groups that this run moved from the split of their hash to another."""
    shortages: list[str]
    """Reasons why a class cannot be trained and tested on, one entry per class."""


def build_manifest(
    data_dir: Path,
    out_dir: Path,
    index_path: Path,
    modality: Modality,
    rules: IngestRules,
    memory: SplitMemory,
    linked: Collection[Path] = (),
) -> BuiltManifest:
    """Writes manifest.parquet, quarantine.csv and duplicates.csv into `out_dir`; nothing into `data_dir`.

    Args:
        index_path: database of what earlier runs have read; created if missing. Changes the speed only.
        memory: splits that earlier runs assigned.
        linked: further folders that links in `data_dir` may point into.
    Raises:
        NoDataError, LayoutError, LabelsError: see `describe_samples`.
        ContentChangedError: a file changed while this ran.
    """
    notes: list[str] = []
    with open_index(index_path) as index, open_workers() as workers:
        described = describe_samples(data_dir, modality.suffixes, rules.ignored_columns, notes.append)
        num_described = store_description(index, described)
        _read_changed(index, data_dir, num_described, modality, rules, linked, workers)
        fractions = {"validation": rules.validation_fraction, "test": rules.test_fraction}
        fractions = resplit_training_samples(index, fractions, notes.append)
        remembered = memory.given(rules.split_key).units
        rule = SplitRule(rules.split_key, fractions["test"], fractions["validation"], remembered)
        threshold = rules.near_duplicate_similarity
        lookalikes = [] if threshold is None else find_lookalikes(index, data_dir, modality, threshold, workers)
        table = labels_table(data_dir)
        paths = (path for path in files_below(data_dir) if path != (table and table.name))
        num_not_described = count_not_described(index, paths) if table else 0
        built = _split(index, out_dir, modality, lookalikes, rule, memory, num_not_described)
        notes += [*built.profile.notes, *similar_class_names(built.profile.classes)]
        return built._replace(profile=built.profile.model_copy(update={"notes": notes}))


def _split(
    index: sqlite3.Connection,
    out_dir: Path,
    modality: Modality,
    lookalikes: list[LookAlike],
    rule: SplitRule,
    memory: SplitMemory,
    num_not_described: int,
) -> BuiltManifest:
    """Splits by hash and by memory, then repeats with samples moved into splits that are short of a class."""
    given = memory.given(rule.key)
    moves: dict[str, Split] = {}
    while True:
        set_aside_duplicates(index, out_dir / DUPLICATES, lookalikes, rule.split_for)
        profile = _write(index, out_dir, modality, rule.split_for).profile(num_not_described)
        if not classes_below(SMALL_CLASS_SIZE, profile.counts):
            return BuiltManifest(profile, memory.plus(rule, profile.counts, moves), len(moves), [])
        samples = read_manifest(out_dir / MANIFEST, COLUMNS_OF_SPLITTING)
        own_paths = {path for (path,) in index.execute("SELECT path FROM described WHERE split != ''")}
        more = moves_for_short_classes(samples, rule, given, own_paths)
        if not more:
            units = units_of_small_classes(samples, profile.counts, own_paths)
            kept = memory.plus(rule, profile.counts, {**units, **moves})
            return BuiltManifest(profile, kept, len(moves), shortages(samples, given, own_paths))
        moves |= more
        rule = rule.with_moves(more)


def _read_changed(
    index: sqlite3.Connection,
    data_dir: Path,
    num_described: int,
    modality: Modality,
    rules: IngestRules,
    linked: Collection[Path],
    workers: Workers,
) -> None:
    roots = [folder.resolve() for folder in (data_dir, *linked)]
    with_signature = rules.near_duplicate_similarity is not None
    reader = fingerprint(decoding(modality), sorted(rules.accept), with_signature, sorted(map(str, linked)))
    read_one = partial(read_sample, roots=roots, modality=modality, accept=rules.accept, with_signature=with_signature)
    read_some = partial(_read_some, data_dir, read_one)
    with progress_bar(f"reading {modality.noun}s", num_described) as advance:
        for batch in batches_by_path(index, "SELECT d.path, d.problem FROM described d WHERE d.path > ?"):
            remember(index, reader, [(path, "", Reading(status=problem)) for path, problem in batch if problem])
            known = known_stamps(index, [path for path, _ in batch], reader)
            changed = [
                path for path, problem in batch
                if not problem and not (known.get(path) and known[path] == stamp_of(data_dir / path))
            ]  # fmt: skip
            advance(len(batch) - len(changed))
            tasks = [changed[start : start + FILES_PER_TASK] for start in range(0, len(changed), FILES_PER_TASK)]
            for some in workers.map(read_some, tasks):
                remember(index, reader, some)
                advance(len(some))


def _read_some(data_dir: Path, read_one: Callable[[Path], Reading], paths: list[str]) -> list[tuple[str, str, Reading]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders; those that matter become a reason for quarantine
        return [(path, stamp_of(data_dir / path), read_one(data_dir / path)) for path in paths]


def _write(
    index: sqlite3.Connection, out_dir: Path, modality: Modality, split_for: Callable[[str, str, str], str]
) -> Tally:
    tally, schema, remedies = Tally(modality), schema_of(modality), remedies_of(modality)
    nothing_measured = {name: "" if kind == "string" else 0 for name, kind in column_types(modality).items()}
    with (
        written_atomically(out_dir / MANIFEST) as manifest_path,
        rows_written(out_dir / QUARANTINE, ["path", "reason", "what_to_do"]) as quarantine,
        pq.ParquetWriter(manifest_path, schema) as manifest,
    ):
        rows = (row for batch in batches_by_path(index, _ROWS) for row in batch)
        while some := [nothing_measured | _manifest_row(row, split_for) for row in islice(rows, PARQUET_ROWS)]:
            manifest.write_batch(pa.RecordBatch.from_pylist(some, schema))
            for row in some:
                tally.add(row)
                if row["split"] == "":
                    quarantine.write([row["path"], row["status"], remedies[row["status"].partition(":")[0]]])
    return tally


_ROWS = """
    SELECT d.path, d.label, d.grouped, d.domain, d.weight, d.split, f.sample_id, f.num_bytes, f.measured,
        f.perceptual_hash, f.note, f.status, j.status, j.duplicate_of
    FROM described d JOIN files f ON f.path = d.path LEFT JOIN judged j ON j.path = d.path
    WHERE d.path > ?
"""


def _manifest_row(row: tuple, split_for: Callable[[str, str, str], str]) -> dict:
    """A row of the manifest, without the columns that were not measured."""
    path, label, group, domain, weight, own_split, sample_id, *read, judged_status, duplicate_of = row
    num_bytes, measured, perceptual_hash, note, status = read
    return {
        "sample_id": sample_id,
        "path": path,
        "label": label,
        "group": group,
        "domain": domain,
        "weight": weight,
        "split": split_for(own_split, group, sample_id) if status == "ok" else "",
        "num_bytes": num_bytes,
        "note": note,
        "perceptual_hash": perceptual_hash,
        "duplicate_of": duplicate_of or "",
        "status": judged_status or status,
        **json.loads(measured),
    }
