"""The manifest: one row per sample, sorted by path; the only description of the data that later stages read.

column           type     meaning
sample_id        string   sha256 of the file's bytes
path             string   relative to the data folder, with forward slashes
label            string   class name; empty: unlabelled
group            string   samples of one group stay in one split; empty: a group of its own
domain           string   free text, e.g. the camera or the site; may be empty
weight           float64  weight in the training loss, > 0; not used in evaluation
split            string   train, validation or test; empty when quarantined
...                       measurements of the modality, in its order (`Modality.columns`), and for every file:
num_bytes        int64    file size
note             string   peculiarity that is no reason to quarantine the file; mostly empty
perceptual_hash  string   64 hex digits: 256 bits that near duplicates mostly share
duplicate_of     string   path of the first sample of its cluster of exact and near duplicates; empty for that first one
                          and for samples without duplicates
status           string   "ok"; or set aside: "duplicate" (an exact copy of one that is used), "leak" (nearly the same
                          as one in a split that ranks higher); or quarantined: the reason, as "<code>: <words>"
"""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa

from graft.core.errors import ContentChangedError
from graft.core.table_files import parquet_columns, read_parquet
from graft.modalities.base import Modality

SAMPLE_COLUMNS = {
    "sample_id": "string",
    "path": "string",
    "label": "string",
    "group": "string",
    "domain": "string",
    "weight": "float64",
    "split": "string",
}
FILE_COLUMNS = {"num_bytes": "int64", "note": "string", "perceptual_hash": "string"}
"""Columns after the modality's own, unless the modality places them among its own."""
CLUSTER_COLUMNS = {"duplicate_of": "string", "status": "string"}
COMMON_COLUMNS = {**SAMPLE_COLUMNS, **FILE_COLUMNS, **CLUSTER_COLUMNS}
SET_ASIDE = ["duplicate", "leak"]


def column_types(modality: Modality) -> dict[str, str]:
    """Column of the modality's manifest -> pyarrow type, in the manifest's order."""
    return {**SAMPLE_COLUMNS, **modality.columns, **FILE_COLUMNS, **CLUSTER_COLUMNS}


def schema_of(modality: Modality) -> pa.Schema:
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in column_types(modality).items()])


def read_manifest(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Reads all columns, or those named.

    Raises:
        ContentChangedError: the file is damaged, or from another version of Graft.
    """
    if columns is None:
        found = parquet_columns(path)
        columns = [*found, *(name for name in COMMON_COLUMNS if name not in found)]
    manifest = read_parquet(path, columns)
    return manifest.astype(dict.fromkeys(manifest.select_dtypes("str"), "string"))


def usable_samples(manifest: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Labelled rows with status ok, of one split if named, in the manifest's order with a new index."""
    chosen = (manifest["status"] == "ok") & (manifest["label"] != "")
    if split is not None:
        chosen &= manifest["split"] == split
    return manifest[chosen].reset_index(drop=True)


def unlabelled_samples(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows with status ok and no label. Only those of the training split may be trained on."""
    return manifest[(manifest["status"] == "ok") & (manifest["label"] == "")].reset_index(drop=True)


def quarantined(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[~manifest["status"].isin(["ok", *SET_ASIDE])]


def class_names(manifest: pd.DataFrame) -> list[str]:
    return sorted(usable_samples(manifest)["label"].unique())


def verified_bytes(data_dir: Path, path: str, sample_id: str) -> bytes:
    """
    Raises:
        ContentChangedError: the file is missing, or is not the one that ingest saw.
    """
    try:
        content = (data_dir / path).read_bytes()
    except OSError as error:
        raise ContentChangedError(f"{data_dir / path} can no longer be read ({error}). Run ingest again.") from error
    if hashlib.sha256(content).hexdigest() != sample_id:
        raise ContentChangedError(
            f"{data_dir / path} has changed since it was ingested: its sha256 is no longer {sample_id[:12]}…. "
            "Restore it (dvc checkout data.dvc), or accept the change (dvc add data) and run again."
        )
    return content
