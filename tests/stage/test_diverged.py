"""Weights that vanish in float32: the table is refused, and a training that they ruin leaves no model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from conftest import stage_fails

from graft.core.files import sha256_of_file

CopyOf = Callable[[Path], Path]
LOST = 1e-60


def _with_lost_weights(table: pd.DataFrame) -> pd.DataFrame:
    """All rows but each tenth."""
    return table.assign(weight=[1.0 if number % 10 == 0 else LOST for number in range(len(table))])


def test_ingest_refuses_weights_that_vanish_in_float32_and_names_the_rows(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    path = project / "data" / "labels.csv"
    table = _with_lost_weights(pd.read_csv(path))
    path.unlink()
    table.to_csv(path, index=False)
    answer = stage_fails(project, "ingest")
    assert f"LabelsError: 216 row(s) of {path} have a weight below 1e-30 or above 1e+09" in answer
    assert f"line 3: {table['path'][1]} (1e-60)" in answer


def test_an_arm_that_diverges_with_every_seed_leaves_no_model_and_says_what_to_change(
    finished: Path, copy_of: CopyOf
) -> None:
    project = copy_of(finished)
    artifacts = project / "artifacts"
    manifest = pd.read_parquet(artifacts / "manifest.parquet")
    (artifacts / "manifest.parquet").unlink()
    _with_lost_weights(manifest).to_parquet(artifacts / "manifest.parquet", index=False)
    selection = json.loads((artifacts / "selection.json").read_text())
    selection["inputs"]["manifest.parquet"] = sha256_of_file(artifacts / "manifest.parquet")
    (artifacts / "selection.json").unlink()
    (artifacts / "selection.json").write_text(json.dumps(selection))
    for folder in ("model", "finetune"):
        shutil.rmtree(artifacts / folder)
    answer = stage_fails(project, "finetune")
    assert "DivergedError: every seed of the transfer arm diverged: validation losses are nan" in answer
    assert "Lower finetune.backbone_learning_rate and finetune.head_learning_rate" in answer
    assert not (artifacts / "model").exists()
