"""Which device computes, and that it computes the same."""

import pytest
import torch
from torch import nn

from graft.core.device import pick_device
from graft.core.errors import ParamsError
from graft.networks.backbones import Classifier, build_backbone
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.evaluation import predict
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe

needs_accelerator = pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator on this machine")


def test_the_environment_can_insist_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_DEVICE", "cpu")
    assert pick_device() == torch.device("cpu")


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_DEVICE", "cuda:17")
    with pytest.raises(ParamsError, match="GRAFT_DEVICE=cuda:17"):
        pick_device()


def test_convolutions_neither_round_to_tf32_nor_add_up_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What that does to results, only a GPU can show: benchmarks/gpu_check.py."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    pick_device()
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)


@pytest.mark.gpu
@needs_accelerator
def test_an_accelerator_is_used_by_itself_and_learns_what_the_cpu_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAFT_DEVICE", raising=False)
    assert pick_device().type != "cpu"
    losses = {}
    for device in (torch.device("cpu"), pick_device()):
        classifier = Classifier(build_backbone("torchvision/mobilenet_v2", 0), num_classes=2, dropout=0.0).to(device)
        pictures = torch.randint(0, 256, (32, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        inputs = ImageInputs(pictures, ["identity"], lambda x: x / 127.5 - 1, device)
        activations = FrozenActivations(inputs, nn.Sequential(), torch.float32, CacheBudget(), "images")
        data = LabelledSamples(activations, torch.arange(32) % 2, torch.ones(32))
        recipe = Recipe((Phase(0, 1, 1e-4, 1e-4),), 16, 0.0, 0.0, 0.3)
        fabric = join_processes(device)
        losses[device.type] = train(classifier, ArmData(data, data), recipe, seed=0, runtime=Runtime(fabric))[
            0
        ].train_loss
        assert predict(classifier, data).shape == (32, 2)
    cpu, accelerator = losses.values()
    assert accelerator == pytest.approx(cpu, rel=0.05)
