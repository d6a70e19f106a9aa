"""Bytes that changed behind the manifest's back are found, and nothing is lost when data are added."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import stage_fails, succeed

from graft.data.manifest import read_manifest, usable_samples

CopyOf = Callable[[Path], Path]


def _flip_a_byte(path: Path) -> None:
    """In the middle of the file, leaving size and time as they were."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _a_training_picture(project: Path) -> str:
    return str(usable_samples(read_manifest(project / "artifacts" / "manifest.parquet"), "train")["path"][0])


@pytest.mark.parametrize("stage", ["select", "finetune"])
def test_a_flipped_byte_in_the_data_folder_stops_the_stage_that_reads_it(
    finished: Path, copy_of: CopyOf, stage: str
) -> None:
    project = copy_of(finished)
    path = _a_training_picture(project)
    _flip_a_byte(project / "data" / path)
    answer = stage_fails(project, stage)
    assert answer.startswith(f"ContentChangedError: {project / 'data' / path} has changed since it was ingested")


def test_a_flipped_byte_in_the_dvc_cache_is_found_though_dvc_restores_it_without_a_word(
    finished: Path, copy_of: CopyOf
) -> None:
    project = copy_of(finished)
    path = _a_training_picture(project)
    content = (project / "data" / path).read_bytes()
    (cached,) = [
        file for file in (project / ".dvc" / "cache").rglob("*") if file.is_file() and file.read_bytes() == content
    ]
    _flip_a_byte(cached)
    shutil.rmtree(project / "data")
    succeed(project, "dvc", "checkout", "data.dvc")
    assert f"data/{path}" in stage_fails(project, "finetune")


def test_data_are_added_and_taken_back_as_the_how_to_says(finished: Path, copy_of: CopyOf, elpv: Path) -> None:
    project = copy_of(finished)
    before = read_manifest(project / "artifacts" / "manifest.parquet").set_index("sample_id")["split"]
    old_files = {path.name: path.read_bytes() for path in (project / "data" / "images").iterdir()}
    table = pd.read_csv(project / "data" / "labels.csv")
    every = pd.read_csv(elpv / "labels.csv")
    new = every[~every["path"].isin(table["path"])].head(20)
    for path in new["path"]:
        shutil.copy(elpv / path, project / "data" / path)
    pd.concat([new, table]).to_csv(project / "data" / "labels.csv", index=False)
    succeed(project, "dvc", "add", "data")
    succeed(project, "dvc", "repro", "ingest")
    after = read_manifest(project / "artifacts" / "manifest.parquet").set_index("sample_id")["split"]
    assert len(after) == len(before) + 20
    pd.testing.assert_series_equal(after[before.index], before)

    succeed(project, "git", "commit", "--quiet", "--message", "twenty more", "data.dvc")
    succeed(project, "git", "checkout", "--quiet", "HEAD~1", "--", "data.dvc")
    succeed(project, "dvc", "checkout", "data.dvc")
    assert {path.name: path.read_bytes() for path in (project / "data" / "images").iterdir()} == old_files
