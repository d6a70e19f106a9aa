"""The check of a machine's accelerator writes what it found, whatever happens to one of its steps."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_check import Table, run_steps
from benchmarks.gpu_task import Row, at_least, at_most


def fails_early(_task: object) -> Iterator[Row]:
    yield at_most("difference", 0.1, 0.2)
    raise RuntimeError("CUDA error: a | b")


def finds_too_little(_task: object) -> Iterator[Row]:
    yield at_least("speed", 0.5, 1)
    yield at_most("difference", float("nan"), 1)


def test_a_step_that_fails_is_a_row_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = SimpleNamespace(images={}, size=SimpleNamespace(side_px=64))
    monkeypatch.setattr(gpu_check, "make_task", lambda *_arguments: task)
    monkeypatch.setattr(gpu_check, "STEPS", (fails_early, finds_too_little))
    table = Table("# On a GPU", tmp_path / "gpu.md", [])
    sizes = {"limit": None, "side": None, "steps": None, "epochs": None}
    arguments = argparse.Namespace(data=tmp_path, source="efficientnet_lite0", **sizes)
    run_steps(table, tmp_path, arguments, torch.device("cpu"))
    written = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "| fails early | difference | 0.1 | at most 0.2 | yes |" in written
    assert "| fails early | ended early | RuntimeError: CUDA error: a / b | no error | **NO** |" in written
    assert "| finds too little | speed | 0.50 | at least 1 | **NO** |" in written
    assert "| finds too little | difference | nan | at most 1 | **NO** |" in written
    assert "in fails_early" in (tmp_path / gpu_check.LOG).read_text(encoding="utf-8")
    assert table.num_failed == 3
