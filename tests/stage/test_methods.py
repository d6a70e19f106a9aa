"""Every method on every source of the catalogue: what it freezes stays as it was, to the bit."""

import copy

import pytest
import torch
from conftest import PROJECT

from graft.hub.catalogue import load_catalogue
from graft.hub.samples import sample_images
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import Normalise, resize
from graft.networks.backbones import Backbone, Classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.methods import METHODS, phases_of
from graft.training.processes import join_processes
from graft.training.recipe import Recipe

SOURCES = load_catalogue(PROJECT / "sources.yaml")
SIDE_PX, NUM_TRAINED, NUM_PICTURES = 64, 3, 8
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbones() -> dict[str, Backbone]:
    return {name: load_backbone(source) for name, source in SOURCES.items()}


@pytest.fixture(scope="module")
def pictures_NCHW() -> torch.Tensor:
    resized = [resize(picture.pixels_13HW(), SIDE_PX) for picture in sample_images()[:NUM_PICTURES]]
    return torch.cat(resized).round().to(torch.uint8)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_freezes_stays(
    method: str, name: str, backbones: dict[str, Backbone], pictures_NCHW: torch.Tensor
) -> None:
    pretrained = backbones[name]
    num_blocks = len(pretrained.blocks)
    phases = phases_of(
        method, num_blocks=num_blocks, num_trained_blocks=NUM_TRAINED, num_epochs=2, probe_epochs=1,
        backbone_learning_rate=1e-3, head_learning_rate=1e-2,
    )  # fmt: skip
    recipe = Recipe(phases, 4, 0.01, 0.1, 0.3, lora_rank=4 if method == "lora" else None)
    plain = ImageInputs(pictures_NCHW, ["identity"], Normalise.of(SOURCES[name].preprocessing), CPU)
    activations = FrozenActivations(plain, pretrained.blocks, torch.float32, CacheBudget(), "frozen blocks")
    model = Classifier(copy.deepcopy(pretrained), num_classes=2, dropout=0.2)
    data = LabelledSamples(activations, torch.arange(NUM_PICTURES) % 2, torch.ones(NUM_PICTURES))
    train(model, ArmData(data), recipe, seed=0, runtime=Runtime(join_processes(CPU)))

    before, after = pretrained.state_dict(), model.backbone.state_dict()
    assert before.keys() == after.keys()
    changed = {block for block in range(num_blocks) if not _same(before, after, f"blocks.{block}.")}
    first_learning = {"linear_probe": num_blocks, "full": 0}.get(method, num_blocks - NUM_TRAINED)
    assert changed == set(_blocks_with_parameters(pretrained, first_learning))
    if method == "lora":
        statistics = {path: tensor for path, tensor in before.items() if path.endswith(("running_mean", "running_var"))}
        assert _same(statistics, after, "")


def _same(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], prefix: str) -> bool:
    return all(torch.equal(tensor, after[path]) for path, tensor in before.items() if path.startswith(prefix))


def _blocks_with_parameters(backbone: Backbone, first: int) -> list[int]:
    return [number for number in range(first, len(backbone.blocks)) if list(backbone.blocks[number].parameters())]
