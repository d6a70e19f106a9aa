"""`graft sources check` with real weights."""

import sys
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT, run


def _check(folder: Path, name: str, **environment: str) -> tuple[int, str]:
    done = run(folder, sys.executable, "-m", "graft", "sources", "check", name, PYTHONPATH=str(PROJECT), **environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def entries() -> dict:
    return yaml.safe_load((PROJECT / "sources.yaml").read_text())


def test_a_source_that_is_what_it_says_is_shown_and_ends_with_0() -> None:
    returncode, printed = _check(PROJECT, "mobilenet_v2", COLUMNS="80")
    assert returncode == 0
    assert "bull mastiff 0.86" in printed
    assert "as declared" in printed
    assert "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889" in printed
    assert "\nOK " in printed
    assert "…" not in printed


def test_wrong_preprocessing_and_wrong_weights_end_with_1_and_say_why(tmp_path: Path, entries: dict) -> None:
    entry = entries["mobilenet_v2"]
    unscaled = {**entry, "preprocessing": {**entry["preprocessing"], "mean": [0, 0, 0], "std": [0.004, 0.004, 0.004]}}
    other = {**entry, "architecture": "torchvision/efficientnet_b0"}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"unscaled": unscaled, "other": other}))
    returncode, printed = _check(tmp_path, "unscaled")
    assert returncode == 1
    assert "NOT OK" in printed
    assert "preprocessing looks wrong" in printed
    returncode, printed = _check(tmp_path, "other")
    assert returncode == 1
    assert "do not fit architecture" in printed
