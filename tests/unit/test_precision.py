"""The precision is measured once a machine and network, and chosen with a margin."""

import copy
import json
from pathlib import Path

import pytest
import torch

from graft.networks.backbones import build_backbone
from graft.training import precision
from graft.training.precision import measured_precisions

CPU = torch.device("cpu")
BACKBONE = build_backbone("torchvision/mobilenet_v2", 0)
NUM_BLOCKS = len(BACKBONE.blocks)


@pytest.mark.parametrize(
    ("ratio", "forward", "training"),
    [(3.0, "bfloat16", "bfloat16"), (1.25, "bfloat16", "float32"), (0.8, "float32", "float32")],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(
    ratio: float, forward: str, training: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_seconds", lambda _work, _device, dtype: ratio if dtype == torch.float32 else 1.0)
    found = measured_precisions(BACKBONE, 10, 32, 4, CPU, tmp_path)
    assert (found.forward, found.training) == (forward, training)
    assert f"training {ratio:.2f} times as fast" in str(found)


def test_the_same_machine_decides_the_same_way_again(tmp_path: Path) -> None:
    first = measured_precisions(BACKBONE, NUM_BLOCKS - 1, 32, 4, CPU, tmp_path)
    assert set(first.speedups) == {"forward", "training"}
    assert measured_precisions(BACKBONE, NUM_BLOCKS - 1, 32, 4, CPU, tmp_path) == first
    files = list(tmp_path.rglob("*.json"))
    assert len(files) == 1
    assert set(json.loads(files[0].read_text())["speedups"]) == {"forward", "training"}
    measured_precisions(BACKBONE, NUM_BLOCKS, 32, 4, CPU, tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"speedups": {"training": 9.0}, "seal": "0"}', None])
def test_a_finding_that_is_damaged_or_was_made_for_another_network_is_measured_again(
    kept: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "_seconds", lambda _work, _device, dtype: 3.0 if dtype == torch.float32 else 1.0)
    measured_precisions(BACKBONE, 10, 32, 4, CPU, tmp_path)
    (other,) = tmp_path.glob("precisions/*.json")
    monkeypatch.setattr(precision, "_seconds", lambda _work, _device, _dtype: 1.0)
    expected = measured_precisions(BACKBONE, 11, 32, 4, CPU, tmp_path)
    (path,) = set(tmp_path.glob("precisions/*.json")) - {other}
    path.write_text(other.read_text() if kept is None else kept)
    assert measured_precisions(BACKBONE, 11, 32, 4, CPU, tmp_path) == expected
    assert f"{path} is damaged, written by somebody else" in capsys.readouterr().out
    assert measured_precisions(BACKBONE, 11, 32, 4, CPU, tmp_path) == expected
    assert capsys.readouterr().out == ""


def test_measuring_leaves_the_backbone_as_it_was(tmp_path: Path) -> None:
    backbone = copy.deepcopy(BACKBONE).train()
    measured_precisions(backbone, NUM_BLOCKS - 2, 32, 4, CPU, tmp_path)
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(torch.equal(tensor, backbone.state_dict()[name]) for name, tensor in BACKBONE.state_dict().items())
    assert backbone.training
