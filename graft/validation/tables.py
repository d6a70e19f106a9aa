"""Tables for expectations: `samples` and `classes`, derived from the manifest.

samples: the manifest, one row per file, and
column                  type   meaning
is_usable               int8   1: status ok and labelled, so a later stage uses it
is_quarantined          int8   1: could not be used, `status` says why
is_leak                 int8   1: set aside because its near duplicate is in test (or validation)
splits_of_group         int32  number of splits that contain usable samples of its group; 1 without a group
splits_of_duplicates    int32  the same for its duplicate cluster
has_conflicting_label   int8   1: a duplicate of it has another label (duplicates.csv has the pairs)
path_ignoring_case      string lower case: some file systems cannot hold two names that differ only in case
aspect_ratio            float  longer side over shorter side, >= 1; empty if no image could be read

classes: one row per class with a usable sample
label                          the class
samples, train, validation, test   usable samples, in total and per split
fraction                       share of the usable samples
names_alike                    number of classes that differ from it only in case or spaces
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from graft.core.table_files import parquet_columns, read_csv, read_parquet
from graft.data.manifest import SET_ASIDE
from graft.data.splits import SPLITS

KEPT_STATUSES = ["ok", *SET_ASIDE]
CLASS_COLUMNS = ["label", "samples", *SPLITS, "fraction", "names_alike"]
ALWAYS_READ = {"path", "label", "split", "status"}


def read_samples(manifest_path: Path, duplicates_path: Path, wanted: set[str]) -> pd.DataFrame:
    """Reads the `wanted` columns of `samples` and those that define usable samples, and no others."""
    derivations = {name: derivation for name, derivation in DERIVED.items() if name in wanted | {"is_usable"}}
    needed = wanted.union(ALWAYS_READ, *(inputs for inputs, _ in derivations.values()))
    columns = [name for name in parquet_columns(manifest_path) if name in needed]
    samples = read_parquet(manifest_path, columns)
    for name, (_, derive) in derivations.items():
        samples[name] = derive(samples)
    if "has_conflicting_label" in wanted:
        samples["has_conflicting_label"] = _has_conflicting_label(samples, read_csv(duplicates_path, {}))
    return samples


def columns_of_samples(manifest_path: Path) -> list[str]:
    return [*parquet_columns(manifest_path), *DERIVED, "has_conflicting_label"]


def table_of_classes(samples: pd.DataFrame) -> pd.DataFrame:
    usable = samples.loc[samples["is_usable"] == 1, ["label", "split"]]
    counts = usable.groupby(["label", "split"]).size().unstack(fill_value=0).reindex(columns=SPLITS, fill_value=0)
    table = counts.rename_axis(columns=None).reset_index()
    table.insert(1, "samples", table[SPLITS].sum(axis=1))
    table["fraction"] = table["samples"] / max(len(usable), 1)
    plain = table["label"].str.split().str.join(" ").str.casefold()
    table["names_alike"] = plain.map(plain.value_counts()).astype("int64") - 1
    return table[CLASS_COLUMNS]


def _is_usable(samples: pd.DataFrame) -> pd.Series:
    return ((samples["status"] == "ok") & (samples["label"] != "")).astype("int8")


def _is_quarantined(samples: pd.DataFrame) -> pd.Series:
    return (~samples["status"].isin(KEPT_STATUSES)).astype("int8")


def _is_leak(samples: pd.DataFrame) -> pd.Series:
    return (samples["status"] == "leak").astype("int8")


def _splits_of_group(samples: pd.DataFrame) -> pd.Series:
    return _num_splits(samples, samples["group"].where(samples["group"] != ""))


def _splits_of_duplicates(samples: pd.DataFrame) -> pd.Series:
    first_paths = samples["duplicate_of"].where(samples["duplicate_of"] != "")
    is_first = samples["path"].isin(first_paths.dropna().unique())
    return _num_splits(samples, first_paths.where(~is_first, samples["path"]))


def _num_splits(samples: pd.DataFrame, units: pd.Series) -> pd.Series:
    """Number of splits that contain usable rows of each row's unit; 1 for a row without a unit."""
    codes, names = pd.factorize(units)
    splits = samples["split"].map({name: number for number, name in enumerate(SPLITS)}).fillna(0).to_numpy("int64")
    counted = (codes >= 0) & (samples["status"] == "ok").to_numpy()
    pairs = np.unique(codes[counted] * len(SPLITS) + splits[counted])
    num_splits = np.bincount(pairs // len(SPLITS), minlength=len(names))
    return pd.Series(np.where(codes >= 0, np.append(num_splits, 1)[codes], 1).astype("int32"), index=samples.index)


def _path_ignoring_case(samples: pd.DataFrame) -> pd.Series:
    return samples["path"].str.lower()


def _aspect_ratio(samples: pd.DataFrame) -> pd.Series:
    sides = samples[["width", "height"]]
    return sides.max(axis=1) / sides.min(axis=1).where(lambda shorter: shorter > 0)


def _has_conflicting_label(samples: pd.DataFrame, duplicates: pd.DataFrame) -> pd.Series:
    joined = duplicates[duplicates["kind"] != "alike"]
    labelled = joined[(joined["label_a"] != "") & (joined["label_b"] != "")]
    conflicts = labelled[labelled["label_a"] != labelled["label_b"]]
    return samples["path"].isin({*conflicts["path_a"], *conflicts["path_b"]}).astype("int8")


DERIVED: dict[str, tuple[list[str], Callable[[pd.DataFrame], pd.Series]]] = {
    "is_usable": (["status", "label"], _is_usable),
    "is_quarantined": (["status"], _is_quarantined),
    "is_leak": (["status"], _is_leak),
    "splits_of_group": (["group", "split", "status"], _splits_of_group),
    "splits_of_duplicates": (["path", "duplicate_of", "split", "status"], _splits_of_duplicates),
    "path_ignoring_case": (["path"], _path_ignoring_case),
    "aspect_ratio": (["width", "height"], _aspect_ratio),
}
"""Column -> columns of the manifest that it is derived from, and the function that derives it."""
