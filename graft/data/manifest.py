"""The manifest: one row a sample, the only description of the data that later stages read. Sorted by path.

column           type     meaning
sample_id        string   sha256 of the file's bytes
path             string   relative to the data folder, with forward slashes
label            string   class name; empty: unlabelled
group            string   samples of one group stay in one split; empty: a group of its own
domain           string   free text, e.g. the camera or the site; may be empty
weight           float64  weight in the training loss, > 0; evaluation does not weigh
split            string   train, validation or test; empty when quarantined
width, height    int32    pixels, after EXIF orientation
mode             string   Pillow's colour mode as stored: L, RGB, ...
format           string   PNG, JPEG, ...
num_bytes        int64    file size
brightness       float32  mean grey level, 0 (black) to 1 (white)
sharpness        float32  standard deviation of the Laplacian of the grey picture, its longer side scaled down to at
                          most 256 px, in grey levels of 0..255: low is blurred
background       string   colour that transparent parts are laid on, #rrggbb; empty where the image has none
note             string   what is odd about the file and no reason not to use it; mostly empty
perceptual_hash  string   64 hex digits: 256 bits that near duplicates mostly share (graft.modalities.image.similarity)
duplicate_of     string   path of the first sample of its cluster of exact and near duplicates; empty for that first one
                          and for who is alone
status           string   "ok"; or set aside: "duplicate" (an exact copy of one that is used), "leak" (nearly the same
                          as one in a split that ranks higher); or quarantined: the reason, as "<code>: <words>"
"""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa

from graft.core.errors import ContentChangedError
from graft.core.table_files import read_parquet

COLUMN_TYPES = {
    "sample_id": "string",
    "path": "string",
    "label": "string",
    "group": "string",
    "domain": "string",
    "weight": "float64",
    "split": "string",
    "width": "int32",
    "height": "int32",
    "mode": "string",
    "format": "string",
    "num_bytes": "int64",
    "brightness": "float32",
    "sharpness": "float32",
    "background": "string",
    "note": "string",
    "perceptual_hash": "string",
    "duplicate_of": "string",
    "status": "string",
}
SCHEMA = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMN_TYPES.items()])
SET_ASIDE = ["duplicate", "leak"]


def read_manifest(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """All columns, or those named.

    Raises:
        ContentChangedError: the file is damaged, or of another version of Graft.
    """
    columns = columns or list(COLUMN_TYPES)
    return read_parquet(path, columns).astype({name: COLUMN_TYPES[name] for name in columns})


def usable_samples(manifest: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Labelled rows with status ok, of one split when named, in the manifest's order with a fresh index."""
    chosen = (manifest["status"] == "ok") & (manifest["label"] != "")
    if split is not None:
        chosen &= manifest["split"] == split
    return manifest[chosen].reset_index(drop=True)


def unlabelled_samples(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows with status ok and no label. One whose split is not train must not be learnt from, labelled or not."""
    return manifest[(manifest["status"] == "ok") & (manifest["label"] == "")].reset_index(drop=True)


def quarantined(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[~manifest["status"].isin(["ok", *SET_ASIDE])]


def class_names(manifest: pd.DataFrame) -> list[str]:
    return sorted(usable_samples(manifest)["label"].unique())


def verified_bytes(data_dir: Path, path: str, sample_id: str) -> bytes:
    """
    Raises:
        ContentChangedError: the file is gone, or is not the one that ingest saw.
    """
    try:
        content = (data_dir / path).read_bytes()
    except OSError as error:
        raise ContentChangedError(f"{data_dir / path} cannot be read any more ({error}). Run ingest again.") from error
    if hashlib.sha256(content).hexdigest() != sample_id:
        raise ContentChangedError(
            f"{data_dir / path} has changed since it was ingested: its sha256 is no longer {sample_id[:12]}…. "
            "Restore it (dvc checkout data.dvc), or accept the change (dvc add data) and run again."
        )
    return content
