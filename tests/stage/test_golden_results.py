"""Results change with a new number in results_versions.yaml, or not at all.

Each stage is held against what it found before, to 1e-4 (tests/golden.py, values in tests/golden/):

- main: the pipeline of `finished`, 240 cells of two classes. Manifest, splits, profile, duplicates, expectations,
  ranking and trials of the sources, suspects, curves, losses and predictions of the transfer arm, what the ONNX file
  gives. A network trained from random weights answers to the last digit of a sum: what hangs on the baseline of this
  run is another on each kind of CPU, and is not compared.
- whole (tests/wide.py): all stages but export and report on 115 files of four classes with groups, domains, weights,
  given splits, copies, near duplicates of the same and of another label, a transparent image, unlabelled and unusable
  files, and compared with other accepted data; the cheaper of two sources is taken and one is excluded by its licence;
  `auto` settings, longer baselines, added seeds, a shared alpha, gains of classes and domains, two numbers of labels,
  calibration and corruptions.
- probe, full, lp_ft, gradual_unfreeze, lora, search: the methods of fine-tuning; between them class weights and class
  sampling, mixup and cutmix, average of weights, early stopping, augmented views, the three heads, both schedules,
  layer decay, L2-SP, batch spectral shrinkage, WiSE-FT, target statistics, bfloat16, and the search of both arms.

Not covered: the report, accelerators, and `precision: auto`, which measures the machine.
"""

import json
from pathlib import Path

import golden
import pytest
import torch
import yaml
from golden_values import STAGES, values_of
from wide import run_matrix

MAIN = ["ingest", "validate", "select", "inspect", "finetune", "export"]
EMBEDDING = ["select", "inspect"]
"""Stages that compute features in bfloat16 where a CPU can, each kind of CPU with its own last digits."""

Runs = dict[str, tuple[list[str], Path]]


@pytest.fixture(scope="module")
def runs(finished: Path, elpv: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Name -> the stages that are looked at, and the artifacts folder."""
    accepted = finished / "artifacts" / "validation" / "data_summary.json"
    return {"main": (MAIN, finished / "artifacts")} | run_matrix(tmp_path_factory.mktemp("golden"), elpv, accepted)


def is_main_comparable(stage: str) -> bool:
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    embeds_alike = "avx512_bf16" in flags and "amx_bf16" not in flags
    return not torch.accelerator.is_available() and (stage not in EMBEDDING or embeds_alike)


@pytest.mark.parametrize("stage", STAGES)
def test_results_of_a_stage_are_those_of_its_number(stage: str, runs: Runs) -> None:
    with_main = is_main_comparable(stage)
    compared = {
        f"{run} {file}": values
        for run, (stages, artifacts) in runs.items()
        if stage in stages and (run != "main" or with_main)
        for file, values in values_of(stage, artifacts).items()
    }
    assert len(compared) >= (1 if stage in MAIN and not with_main else len(STAGES[stage].files))
    golden.check(stage, compared, not_comparable=None if with_main else "main")


def test_every_stage_of_the_pipeline_but_the_report_has_golden_values() -> None:
    stages = yaml.safe_load((golden.PROJECT / "dvc.yaml").read_text())["stages"]
    assert set(STAGES) == stages.keys() - {"report"}
    assert {path.stem for path in golden.FOLDER.iterdir()} == STAGES.keys()


@pytest.fixture
def examine_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Values of one stage with the number 1, in a folder of their own."""
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    monkeypatch.setattr(golden, "VERSIONS", tmp_path / "results_versions.yaml")
    monkeypatch.setenv(golden.WRITE, "1")
    golden.check("examine", {"main e.json": {"loss": 0.5, "chosen": "a"}})
    monkeypatch.delenv(golden.WRITE)
    return tmp_path / "examine.json"


def test_a_change_beyond_the_tolerance_is_named_with_what_to_do(examine_json: Path) -> None:
    golden.check("examine", {"main e.json": {"loss": 0.50009, "chosen": "a"}})
    with pytest.raises(AssertionError) as raised:
        golden.check("examine", {"main e.json": {"loss": 0.5002, "chosen": "b"}})
    said = str(raised.value)
    assert "main e.json loss: was 0.5, is 0.5002" in said
    assert "main e.json chosen: was a, is b" in said
    assert "give examine a new number in results_versions.yaml, say in CHANGELOG.md" in said
    assert golden.COMMAND in said
    assert examine_json.exists()


def test_changed_values_are_written_with_a_new_number_alone(
    examine_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(golden.WRITE, "1")
    changed = {"main e.json": {"loss": 0.7, "chosen": "a", "new": 1}}
    with pytest.raises(AssertionError, match="the results of examine changed"):
        golden.check("examine", changed)
    for number, stage in enumerate(["examine", "finetune"], start=2):  # its own, and one that it is made from
        golden.VERSIONS.write_text(yaml.safe_dump({"examine": 2, stage: number}))
        golden.check("examine", changed)
        kept = json.loads(examine_json.read_text())
        assert kept["numbers"][stage] == number
        assert kept["values"] == changed
        changed["main e.json"]["loss"] += 0.1


@pytest.mark.usefixtures("examine_json")
def test_a_number_without_its_values_is_said() -> None:
    golden.VERSIONS.write_text("examine: 2\n")
    with pytest.raises(AssertionError, match="examine has a new number"):
        golden.check("examine", {"main e.json": {"loss": 0.5, "chosen": "a"}})
