"""The manifest: one row a sample, the only description of the data that later stages read.

column        type     meaning
sample_id     string   sha256 of the file's bytes
path          string   relative to the data folder, with forward slashes
label         string   class name
group         string   samples of one group stay in one split; empty: a group of its own
domain        string   free text, e.g. the camera or the site; may be empty
weight        float64  weight in the training loss, > 0; evaluation does not weigh
split         string   train, validation or test; empty when not usable
width, height int32    pixels, after EXIF orientation
mode          string   Pillow's colour mode as stored: L, RGB, ...
format        string   PNG, JPEG, ...
num_bytes     int64    file size
duplicate_of  string   path of the first sample with the same bytes; empty when unique
status        string   "ok", "duplicate", or why the file is quarantined
"""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from PIL import Image, ImageOps

from graft.artifacts import Profile
from graft.data.describe import describe_samples
from graft.data.splits import SPLITS, split_of
from graft.errors import ClassesError, ContentChangedError, QuarantineError
from graft.progress import track

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
    "duplicate_of": "string",
    "status": "string",
}
MIN_SAMPLES_PER_CLASS = 10
"""Below this no split can hold every class, and cross-validation has nothing to fold."""


def build_manifest(data_dir: Path, *, split_key: str, test_fraction: float, validation_fraction: float) -> pd.DataFrame:
    """Reads every described file once and returns the manifest, sorted by path.

    Raises:
        NoDataError, LabelsError: see `describe_samples`.
    """
    described = describe_samples(data_dir)
    with ThreadPoolExecutor() as readers:
        reading = readers.map(_read_header, [data_dir / path for path in described["path"]])
        headers = list(track(reading, "reading pictures", total=len(described)))
    manifest = pd.concat([described, pd.DataFrame(headers)], axis=1).sort_values("path", ignore_index=True)

    is_ok = manifest["status"] == "ok"
    first_paths = manifest[is_ok].groupby("sample_id")["path"].transform("first")
    is_duplicate = is_ok & (manifest["path"] != first_paths.reindex(manifest.index))
    manifest["duplicate_of"] = first_paths.where(is_duplicate).fillna("")
    manifest.loc[is_duplicate, "status"] = "duplicate"

    units = manifest["group"].where(manifest["group"] != "", manifest["sample_id"])
    manifest["split"] = [
        split_of(unit, key=split_key, test_fraction=test_fraction, validation_fraction=validation_fraction)
        if status == "ok"
        else ""
        for unit, status in zip(units, manifest["status"], strict=True)
    ]
    return manifest[list(COLUMN_TYPES)].astype(COLUMN_TYPES)


def check_manifest(manifest: pd.DataFrame, *, max_quarantined_fraction: float) -> None:
    """
    Raises:
        QuarantineError: more files than allowed cannot be read.
        ClassesError: fewer than two classes, or a class too small to split.
    """
    broken = quarantined(manifest)
    if len(broken) > max_quarantined_fraction * len(manifest):
        examples = "\n".join(f"  {row.path}: {row.status}" for row in broken.head(10).itertuples())
        raise QuarantineError(
            f"{len(broken)} of {len(manifest)} files cannot be used, more than ingest.max_quarantined_fraction = "
            f"{max_quarantined_fraction} allows. Mend or remove them, or raise the limit:\n{examples}"
        )
    usable = usable_samples(manifest)
    counts = usable["label"].value_counts()
    if len(counts) < 2:
        raise ClassesError(
            f"the data hold one class only ({counts.index[0]!r}). A classifier needs at least two: "
            "put each class into a folder of its own, or name the classes in labels.csv."
        )
    small = counts[counts < MIN_SAMPLES_PER_CLASS]
    if len(small):
        raise ClassesError(
            "too few samples in "
            + ", ".join(f"class {label!r} ({count})" for label, count in small.items())
            + f"; each class needs at least {MIN_SAMPLES_PER_CLASS}. Add pictures, or remove the class."
        )
    by_split = usable.groupby(["label", "split"]).size().unstack(fill_value=0).reindex(columns=SPLITS, fill_value=0)
    absent = [f"{label!r} in {split}" for label, row in by_split.iterrows() for split in SPLITS if row[split] < 2]
    if absent:
        raise ClassesError(
            "fewer than two samples fell to " + ", ".join(absent) + ". Splits follow a hash, so small classes can "
            "miss one: add pictures, use more groups, or change ingest.split_key."
        )


def profile_of(manifest: pd.DataFrame) -> Profile:
    usable = usable_samples(manifest)
    classes = class_names(manifest)
    counts = usable.groupby(["split", "label"]).size()
    broken = quarantined(manifest)
    return Profile(
        classes=classes,
        num_samples=len(usable),
        num_quarantined=len(broken),
        num_duplicates=int((manifest["status"] == "duplicate").sum()),
        counts={split: {label: int(counts.get((split, label), 0)) for label in classes} for split in SPLITS},
        quarantined=dict(zip(broken["path"], broken["status"], strict=True)),
    )


def read_manifest(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).astype(COLUMN_TYPES)


def usable_samples(manifest: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Rows with status ok, of one split when named, in the manifest's order with a fresh index."""
    chosen = manifest["status"] == "ok"
    if split is not None:
        chosen &= manifest["split"] == split
    return manifest[chosen].reset_index(drop=True)


def quarantined(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[~manifest["status"].isin(["ok", "duplicate"])]


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


def _read_header(path: Path) -> dict[str, object]:
    row: dict[str, object] = {
        "sample_id": "", "width": 0, "height": 0, "mode": "", "format": "", "num_bytes": 0, "status": "ok",
    }  # fmt: skip
    try:
        content = path.read_bytes()
        row |= {"sample_id": hashlib.sha256(content).hexdigest(), "num_bytes": len(content)}
        with Image.open(io.BytesIO(content)) as image:
            row |= {"mode": image.mode, "format": image.format or ""}
            image.load()
            row["width"], row["height"] = ImageOps.exif_transpose(image).size
    except Exception as error:  # whatever a decoder throws at a broken file is that file's reason, not our crash
        row["status"] = f"unreadable: {type(error).__name__}: {error}".replace(str(path), path.name)
    return row
