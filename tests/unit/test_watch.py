"""The watch: each real fault in a real training is said once, by its name; the training does not notice."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
import yaml
from test_layers import PROJECT
from torch import Tensor, nn

from graft.core.arms import ArmName
from graft.networks.backbones import Backbone, Classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.observer import StepCounter
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe, num_steps_of
from graft.watch.findings import ADVICE, Finding
from graft.watch.watch import Watch

CPU = torch.device("cpu")
FABRIC = join_processes(CPU)
MEAN, STD = [0.5] * 3, [0.5] * 3
SLOW = {"backbone_learning_rate": 1e-6, "head_learning_rate": 1e-6}
STILL = {"backbone_learning_rate": 1e-9, "head_learning_rate": 1e-9}
TOO_FAST = {"backbone_learning_rate": 50.0, "head_learning_rate": 50.0}


def recipe_of(
    num_frozen: int,
    *,
    num_epochs: float = 6,
    backbone_learning_rate: float = 1e-3,
    head_learning_rate: float = 5e-3,
    label_smoothing: float = 0.1,
) -> Recipe:
    phase = Phase(num_frozen, num_epochs, backbone_learning_rate, head_learning_rate)
    return Recipe((phase,), 16, weight_decay=0.01, label_smoothing=label_smoothing, warmup_fraction=0.2)


def normalised(pictures: Tensor) -> Tensor:
    return pictures / 127.5 - 1


def pictures_of(num: int, seed: int = 0, *, difference: float = 60, share_bright: float = 0.5) -> tuple[Tensor, Tensor]:
    """Dark pictures are of class 0 and bright ones of class 1; with a `difference` below 60 some could be either."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(num, generator=generator) < share_bright).long()
    noise = torch.randint(0, 136, (num, 3, 32, 32), generator=generator)
    brightness = difference * labels + 60 * torch.rand(num, generator=generator)
    return (noise + brightness[:, None, None, None]).to(torch.uint8), labels


BY_HEART = {
    "training": pictures_of(24, difference=10),
    "validation": pictures_of(200, 1, difference=10),
    "num_epochs": 40,
    "backbone_learning_rate": 5e-3,
    "label_smoothing": 0.0,
}


def network(activation: type[nn.Module] = nn.ReLU, *, depth: int = 5, has_norm: bool = True) -> Backbone:
    """Random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks: list[nn.Module] = []
        for number in range(depth):
            layer = nn.Conv2d(16, 16, 3, padding=1) if number else nn.Conv2d(3, 16, 3, stride=2)
            blocks.append(nn.Sequential(layer, nn.BatchNorm2d(16) if has_norm else nn.Identity(), activation()))
        return Backbone(blocks, num_features=16)


@cache
def _source() -> Backbone:
    """Its BatchNorms have seen such pictures."""
    backbone = network().train()
    pictures, _ = pictures_of(64, seed=99)
    with torch.no_grad():
        for _ in range(40):
            backbone(normalised(pictures))
    return backbone.eval()


def classifier_of(backbone: Backbone, num_frozen: int = 0) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Classifier(copy.deepcopy(backbone), num_classes=2, dropout=0.1, num_frozen=num_frozen)


def transferred(num_frozen: int = 2) -> Classifier:
    return classifier_of(_source(), num_frozen)


def _silent(_anything: object) -> None:
    pass


def labelled(
    model: Classifier,
    pictures: Tensor,
    labels: Tensor,
    normalise: Callable[[Tensor], Tensor] = normalised,
) -> LabelledSamples:
    inputs = ImageInputs(pictures, ["identity"], normalise, CPU)
    blocks = copy.deepcopy(model.backbone.blocks)
    activations = FrozenActivations(inputs, blocks, torch.float32, CacheBudget(), "frozen blocks")
    return LabelledSamples(activations, labels, torch.ones(len(labels)))


def watched(
    model: Classifier,
    *,
    arm: ArmName = "transfer",
    training: tuple[Tensor, Tensor] | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    normalise: Callable[[Tensor], Tensor] = normalised,
    say: Callable[[str], None] = _silent,
    on_step: Callable[[Watch], None] = _silent,
    recipe: Recipe | None = None,
    **changes: float,
) -> list[Finding]:
    """What the watch says of a training, by `recipe_of` with changes unless a recipe is given."""
    recipe = recipe or recipe_of(model.num_frozen, **changes)
    pictures, labels = training or pictures_of(160)
    watch = Watch(arm, num_steps_of(recipe, len(labels)), num_classes=2, say=say)
    data = ArmData(
        labelled(model, pictures, labels, normalise),
        labelled(model, *(validation or pictures_of(100, seed=1)), normalise),
    )
    runtime = Runtime(FABRIC, observers=[watch, StepCounter(lambda _steps: on_step(watch))])
    train(model, data, recipe, seed=0, runtime=runtime)
    return watch.findings


def the_only(findings: list[Finding], rule: str) -> Finding:
    assert [finding.rule for finding in findings] == [rule], findings
    return findings[0]


def test_healthy_trainings_are_silent() -> None:
    assert watched(transferred()) == []
    assert watched(classifier_of(network()), arm="baseline", backbone_learning_rate=5e-3) == []


def test_a_deep_stack_of_sigmoids_loses_its_gradients() -> None:
    finding = the_only(
        watched(classifier_of(network(nn.Sigmoid, depth=12, has_norm=False)), arm="baseline"), "vanishing_gradients"
    )
    assert "block 0" in finding.seen
    assert "without normalisation" in finding.cause
    assert finding.parameter == "select.candidates"


@pytest.mark.parametrize(
    ("arm", "num_frozen", "parameter"),
    [
        ("transfer", 2, "finetune.backbone_learning_rate"),
        ("transfer", 5, "finetune.head_learning_rate"),
        ("baseline", 0, "baseline.learning_rate"),
    ],
)
def test_a_learning_rate_of_50_explodes(arm: ArmName, num_frozen: int, parameter: str) -> None:
    finding = the_only(watched(transferred(num_frozen), arm=arm, **TOO_FAST), "exploding_gradients")
    assert "learning rate is too high" in finding.cause
    assert finding.parameter == parameter


def test_a_loss_that_is_no_number_is_said_at_its_very_step() -> None:
    model = transferred()
    steps = iter(range(1, 1000))

    def break_after_seven(_watch: Watch) -> None:
        if next(steps) == 7:
            with torch.no_grad():
                model.head.weight[0, 0] = torch.nan

    finding = the_only(watched(model, on_step=break_after_seven), "exploding_gradients")
    assert finding.step == 8
    assert "nan" in finding.seen


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU])
def test_channels_pushed_into_the_flat_part_of_their_activation_are_dead(activation: type[nn.Module]) -> None:
    model = classifier_of(network(activation))
    with torch.no_grad():
        model.backbone.blocks[2][1].bias[:12] = -40
    finding = the_only(watched(model, arm="baseline", num_epochs=8), "dead_activations")
    assert "75%" in finding.seen
    assert "block 2" in finding.seen
    assert finding.parameter == "baseline.learning_rate"


def test_relu6_is_dead_at_its_upper_end_too() -> None:
    model = classifier_of(network(nn.ReLU6))
    with torch.no_grad():
        model.backbone.blocks[2][1].bias[:12] = 40
    assert "75%" in the_only(watched(model, arm="baseline", num_epochs=8), "dead_activations").seen


@pytest.mark.parametrize(
    ("arm", "parameter"), [("transfer", "finetune.head_learning_rate"), ("baseline", "baseline.learning_rate")]
)
def test_a_learning_rate_of_a_millionth_does_not_lower_the_loss(arm: ArmName, parameter: str) -> None:
    finding = the_only(watched(transferred(), arm=arm, **SLOW), "loss_not_decreasing")
    assert "far too low" in finding.cause
    assert finding.parameter == parameter


def test_a_learning_rate_of_1e_9_moves_no_weight_of_one() -> None:
    rules = [finding.rule for finding in watched(transferred(), **STILL)]
    assert rules == ["unchanged_tensors", "loss_not_decreasing"]


def test_two_dozen_pictures_are_learnt_by_heart() -> None:
    finding = the_only(watched(transferred(0), **BY_HEART), "overfitting")
    assert "too long" in finding.cause
    assert finding.parameter == "finetune.num_epochs"


def test_a_detached_parameter_is_named() -> None:
    model = transferred()
    last = model.backbone.blocks[4][0]
    last.forward = lambda maps: nn.functional.conv2d(maps, last.weight.detach(), last.bias, padding=1)
    findings = watched(model)
    finding = the_only(findings, "unchanged_tensors")
    assert "backbone.blocks.4.0.weight" in finding.seen
    assert "1 without a gradient" in finding.seen
    assert finding.parameter == "finetune.backbone_learning_rate"


def test_a_tensor_that_only_weight_decay_moves_counts_as_unchanged() -> None:
    model = transferred()
    last = model.backbone.blocks[4][0]
    last.forward = lambda maps: nn.functional.conv2d(maps, last.weight.detach() + 0 * last.weight, last.bias, padding=1)
    assert "1 without a gradient" in the_only(watched(model), "unchanged_tensors").seen


def test_shuffled_labels_teach_the_head_nothing() -> None:
    def shuffled(pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return pictures, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))]

    findings = watched(
        transferred(4), training=shuffled(*pictures_of(160)), validation=shuffled(*pictures_of(100, seed=1))
    )
    finding = the_only(findings, "head_learns_nothing")
    assert "labels do not belong to their images" in finding.cause
    assert finding.parameter == "finetune.num_trained_blocks"


def test_frozen_blocks_in_training_mode_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classifier, "train", nn.Module.train)
    first, last = (Phase(num_frozen, num_epochs, 1e-3, 5e-3) for num_frozen, num_epochs in ((2, 0.5), (0, 6)))
    recipe = replace(
        recipe_of(2), phases=(first, last)
    )  # so short a phase keeps no activations: the model computes them
    finding = the_only(watched(transferred(), recipe=recipe), "batchnorm_drift")
    assert "2 frozen BatchNorms changed: block 0 (1), block 1 (1)" in finding.seen
    assert "training mode" in finding.cause
    assert finding.step == 1
    assert finding.parameter == "finetune.num_trained_blocks"


def test_pictures_that_nobody_normalised_drag_the_statistics_away() -> None:
    finding = the_only(watched(transferred(0), normalise=lambda pictures: pictures.float()), "batchnorm_drift")
    assert "left the source's" in finding.seen
    assert "unlike what the source saw" in finding.cause
    assert finding.parameter == "finetune.num_trained_blocks"


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (lambda pictures: pictures.float(), "inputs are in 0 to 255"),
        (lambda pictures: pictures / 255, "they look like images in 0 to 1"),
        (lambda pictures: normalised(pictures / 255), "inputs are in -1 to -0.99"),
        (lambda pictures: normalised(pictures.float()) * 0.5 - 0.5, None),  # darker pictures are no mistake
        (lambda pictures: normalised(pictures.float()), None),
    ],
)
def test_wrong_preprocessing_is_seen_on_the_first_batch(wrong, seen: str | None) -> None:
    pictures, _ = pictures_of(32)
    pictures[0, :, 0, 0], pictures[0, :, 0, 1] = 0, 255
    watch = Watch("transfer", 100, num_classes=2, say=_silent)
    watch.check_inputs(wrong(pictures), transferred(), MEAN, STD)
    if seen is None:
        assert watch.findings == []
    else:
        finding = the_only(watch.findings, "wrong_preprocessing")
        assert seen in finding.seen
        assert finding.parameter == "preprocessing in sources.yaml"


def test_a_normalisation_that_the_source_does_not_know_is_seen_at_its_first_batchnorm() -> None:
    pictures, _ = pictures_of(32)
    mean, std = [0.5] * 3, [0.02] * 3  # what sources.yaml says, wrongly
    watch = Watch("transfer", 100, num_classes=2, say=_silent)
    watch.check_inputs((pictures / 255 - 0.5) / 0.02, transferred(), mean, std)
    assert "first BatchNorm" in the_only(watch.findings, "wrong_preprocessing").seen


def test_a_rare_class_that_the_other_drowns_is_predicted_too_seldom() -> None:
    rare = {"difference": 25, "share_bright": 0.1}
    findings = watched(transferred(), training=pictures_of(400, **rare), validation=pictures_of(400, 1, **rare))
    finding = the_only(findings, "prediction_imbalance")
    assert "class 1 is predicted" in finding.seen
    assert "rare classes weigh too little" in finding.cause
    assert finding.parameter == "arms.class_balance"


def test_a_finding_is_said_once() -> None:
    lines: list[str] = []
    watched(transferred(), say=lines.append, **TOO_FAST)
    assert len(lines) == 1
    assert lines[0].startswith("  watch: exploding_gradients at step ")
    assert lines[0].endswith("; likely cause: the learning rate is too high; change finetune.backbone_learning_rate")


def test_every_parameter_that_is_named_can_be_changed() -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    known = {f"{section}.{key}" for section, values in params.items() for key in values}
    named = {parameter for advice in ADVICE.values() for parameter in (advice.transfer, advice.baseline)}
    assert named - known == {"preprocessing in sources.yaml"}


def test_a_watched_training_is_the_same_to_the_bit() -> None:
    watched_model, plain = transferred(), transferred()
    watched(watched_model)
    data = ArmData(labelled(plain, *pictures_of(160)), labelled(plain, *pictures_of(100, seed=1)))
    train(plain, data, recipe_of(plain.num_frozen), seed=0, runtime=Runtime(FABRIC))
    assert all(torch.equal(plain.state_dict()[name], tensor) for name, tensor in watched_model.state_dict().items())
    assert not any(module._forward_hooks for module in watched_model.modules())


@pytest.mark.parametrize(
    "fault",
    [SLOW, STILL, TOO_FAST, BY_HEART, {"normalise": lambda pictures: pictures.float()}],
    ids=["slow", "still", "exploding", "overfitting", "unnormalised"],
)
def test_a_training_that_is_resumed_after_every_step_says_the_same(fault: dict) -> None:
    def resume(watch: Watch) -> None:
        state = json.loads(json.dumps(watch.state()))
        watch.__init__("transfer", watch._num_steps, 2, say=lines.append)  # type: ignore[misc]
        watch.restore(state)

    lines: list[str] = []
    undisturbed = watched(transferred(0), **fault)
    assert watched(transferred(0), on_step=resume, say=lines.append, **fault) == undisturbed != []
    assert lines == [f"  watch: {finding}" for finding in undisturbed]
