"""What is kept of each stage's results: every number, choice and verdict, and the first rows of tables.

All is read from the files that stages leave, and nothing from the library, so code may move without a change here.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
from PIL import Image

KEPT_AS = {"exported_arm": "ships", "baseline/longer/": "converged/"}
"""Part of a key or text of today -> the name under which it is kept. A renamed key is added here."""
NOT_COMPARED = {
    "inputs", "weights_sha256", "manifest_sha256", "onnx_sha256", "onnx_bytes", "max_probability_difference",
    "schema_version", "claim", "decision", "reason", "convergence", "description", "dropped", "sentence", "observed",
    "details", "notes", "quarantined", "seen", "cause", "parameter", "recipe", "settings", "examples", "skipped",
    "test_split_choices",
}  # fmt: skip
"""Keys: hashes and sizes of files, what is smaller than the tolerance, and words, which may be put better."""
NUM_SHOWN = 4
"""Rows of a table that are kept one by one."""

Values = dict[str, Any]
"""Name -> a number, text, truth value or None, or a list of them."""


def of_json(path: Path) -> Values:
    return dict(_flat("", json.loads(path.read_text())))


def _flat(name: str, content: Any) -> list[tuple[str, Any]]:
    if isinstance(content, dict) and content.keys() == {"mean", "low", "high"}:
        return [(name, [content["mean"], content["low"], content["high"]])]
    if isinstance(content, dict):
        named = [(key, item) for key, item in content.items() if key not in NOT_COMPARED]
    elif isinstance(content, list) and any(isinstance(item, dict) for item in content):
        named = list(enumerate(content))
    else:
        return [(name, kept_name(content))]
    return [found for key, item in named for found in _flat(f"{name}.{kept_name(str(key))}".strip("."), item)]


def kept_name(content: Any) -> Any:
    """Kept name of a text, or of each text of a list; anything else stays as it is."""
    if isinstance(content, list):
        return [kept_name(item) for item in content]
    for today, kept in KEPT_AS.items() if isinstance(content, str) else ():
        content = content.replace(today, kept)
    return content


def of_manifest(path: Path) -> Values:
    manifest = pd.read_parquet(path).fillna("")
    odd = manifest[(manifest["status"] != "ok") | (manifest["duplicate_of"] != "")]
    return {
        "rows": len(manifest),
        **{f"split {name or 'none'}": list(part["path"].map(_stem)) for name, part in manifest.groupby("split")},
        **{f"odd {row.path}": [row.status.split(":")[0], row.duplicate_of] for row in odd.itertuples()},
        **{name: list(manifest[name].head(NUM_SHOWN)) for name in ("width", "mode", "brightness", "sharpness")},
        **{f"mean {name}": manifest[name].mean() for name in ("weight", "brightness", "sharpness", "num_bytes")},
        **{f"all of {name}": _digest(manifest[name]) for name in ("sample_id", "label", "group", "domain")},
        "background": sorted(set(manifest["background"])),
        "bits of perceptual hashes": sum(int(text or "0", 16).bit_count() for text in manifest["perceptual_hash"]),
    }


def of_duplicates(path: Path) -> Values:
    pairs = pd.read_csv(path, keep_default_na=False)
    first = pairs.groupby("kind").head(NUM_SHOWN)
    return {f"number of {kind}": number for kind, number in pairs["kind"].value_counts().items()} | {
        f"{row.path_a} {row.path_b}": [row.kind, row.similarity] for row in first.itertuples()
    }


def of_suspects(path: Path) -> Values:
    first = pd.read_csv(path, keep_default_na=False).groupby("kind").head(NUM_SHOWN)
    return {f"{row.kind} {row.rank}": [row.path, row.suggested_label, row.score] for row in first.itertuples()}


def of_predictions(path: Path) -> Values:
    """Mean log loss, accuracy and the first probabilities (of the right class) of each training."""
    table = pd.read_parquet(path)
    keys = [key for key in ("arm", "num_labels", "seed") if key in table]
    values: Values = {"rows": len(table), "all of sample_id": _digest(table["sample_id"])}
    for names, part in table.groupby(keys):
        right = np.array([row[f"probability_{row['label']}"] for _, row in part.iterrows()], dtype=float)
        training = kept_name(", ".join(f"{key} {name}" for key, name in zip(keys, names, strict=True)))
        values[f"{training}: log loss"] = -np.log(np.maximum(right, 1e-6)).mean()
        values[f"{training}: accuracy"] = (part["predicted"] == part["label"]).mean()
        values[f"{training}: first"] = list(right[:NUM_SHOWN])
    return values


def of_curves(path: Path) -> Values:
    curves = pd.read_csv(path)
    return {
        kept_name(f"{arm}, seed {seed}: {name}"): list(part[name])
        for (arm, seed), part in curves.groupby(["arm", "seed"])
        for name in ("train_loss", "validation_loss", "validation_accuracy")
    }


def of_search(path: Path) -> Values:
    trials = pd.read_csv(path, keep_default_na=False)
    losses = trials.pop("by_epoch").astype(str)
    by_epoch = {f"losses {number}": [float(loss) for loss in text.split()] for number, text in losses.items()}
    return {name: list(trials[name]) for name in trials} | by_epoch


def of_onnx(path: Path) -> Values:
    """Probabilities of the first images of the data."""
    session = onnxruntime.InferenceSession(path)
    images = sorted((path.parents[2] / "data" / "images").iterdir())[:NUM_SHOWN]
    pixels = {image.name: np.asarray(Image.open(image).convert("RGB"))[None] for image in images}
    return {name: list(session.run(None, {"pixels": pixels_1HW3})[0][0]) for name, pixels_1HW3 in pixels.items()}


def _digest(column: "pd.Series[Any]") -> str:
    return hashlib.sha256("\n".join(map(str, column)).encode()).hexdigest()[:16]


def _stem(path: str) -> str:
    return Path(path).stem


class Stage(NamedTuple):
    made_from: list[str]
    """Stages."""
    files: dict[str, Callable[[Path], Values]]
    """Below the artifacts folder."""


ARM = {"result.json": of_json, "curves.csv": of_curves, "predictions.parquet": of_predictions, "search.csv": of_search}
VALIDATION = ("result", "change", "data_summary")
STAGES = {
    "ingest": Stage([], {"manifest.parquet": of_manifest, "profile.json": of_json, "duplicates.csv": of_duplicates}),
    "validate": Stage(["ingest"], {f"validation/{name}.json": of_json for name in VALIDATION}),
    "select": Stage(["validate"], {"selection.json": of_json}),
    "inspect": Stage(["select"], {"inspection.json": of_json, "suspects.csv": of_suspects}),
    "finetune": Stage(["select"], {f"finetune/{name}": read for name, read in ARM.items()}),
    "baseline": Stage(["select"], {f"baseline/{name}": read for name, read in ARM.items()}),
    "baseline_longer": Stage(["baseline"], {
        "baseline/longer/result.json": of_json, "baseline/longer/predictions.parquet": of_predictions,
    }),
    "check_transfer": Stage(["finetune", "baseline_longer"], {
        "verdict.json": of_json, "metrics.json": of_json,
        "pairs/curves.csv": of_curves, "pairs/predictions.parquet": of_predictions,
    }),
    "count_labels": Stage(["finetune", "baseline"], {
        "labels/result.json": of_json, "labels/predictions.parquet": of_predictions,
    }),
    "examine": Stage(["finetune", "baseline"], {"examination.json": of_json}),
    "export": Stage(["check_transfer"], {"export.json": of_json, "onnx/model.onnx": of_onnx}),
}  # fmt: skip
"""All but the report, which says in words and figures what the others found."""


def values_of(stage: str, artifacts: Path) -> dict[str, Values]:
    """File -> what is kept of it, as JSON has it."""
    return {kept_name(name): _plain(read(artifacts / name)) for name, read in STAGES[stage].files.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return value
