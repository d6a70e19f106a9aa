"""The loop, its inputs, its cost and its checkpoints."""

import copy
import dataclasses
import shutil
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
import torch
from digits import digits, recipe, tiny_classifier
from metering import TickingMeter
from stopping import StopsAfter

from graft.core.errors import PreemptedError
from graft.core.tensors import checksum_path
from graft.experiment.seeds import has_converged, run_seeds
from graft.networks.backbones import Classifier, build_backbone
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.evaluation import predict
from graft.training.flops import training_flops
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe
from graft.watch.watch import Watch

NUM_FROZEN = 14
CPU = torch.device("cpu")
FABRIC = join_processes(CPU)


def _recipe(num_epochs: float = 2, head_rate: float = 1e-2, batch_size: int = 8) -> Recipe:
    phase = Phase(NUM_FROZEN, num_epochs, backbone_learning_rate=1e-3, head_learning_rate=head_rate)
    return Recipe((phase,), batch_size=batch_size, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.3)


RECIPE = _recipe()


def _classifier(seed: int = 0) -> Classifier:
    return copy.deepcopy(_calibrated(seed))


@cache
def _calibrated(seed: int) -> Classifier:
    """Random weights, but BatchNorm statistics that let a signal through."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = build_backbone("torchvision/mobilenet_v2", 0).train()
        pictures, _ = _pictures(32, seed=99)
        for _ in range(40):
            backbone(pictures / 127.5 - 1)
        return Classifier(backbone, num_classes=2, dropout=0.2)


def _pictures(num: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Dark pictures are class 0, bright ones class 1."""
    labels = torch.arange(num) % 2
    noise = torch.randint(0, 100, (num, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
    return (noise + 150 * labels[:, None, None, None]).to(torch.uint8), labels


def _labelled(num: int, seed: int = 0, budget: CacheBudget = CacheBudget()) -> LabelledSamples:  # noqa: B008
    pictures, labels = _pictures(num, seed)
    inputs = ImageInputs(pictures, ["identity", "flip_vertical"], lambda x: x / 127.5 - 1, CPU)
    blocks = _classifier().backbone.blocks
    activations = FrozenActivations(inputs, blocks, torch.float32, budget, "frozen blocks")
    return LabelledSamples(activations, labels, torch.ones(num))


def _watch(_classifier: Classifier, num_steps: int) -> Watch:
    return Watch("transfer", num_steps, num_classes=2)


def _trained(seed: int, recipe: Recipe = RECIPE) -> tuple[Classifier, list]:
    classifier = _classifier()
    data = ArmData(_labelled(30), _labelled(20, 1))
    return classifier, train(classifier, data, recipe, seed=seed, runtime=Runtime(FABRIC))


def test_the_same_seed_gives_the_same_weights_to_the_bit_and_another_seed_does_not() -> None:
    (first, curve), (again, curve_again), (other, _) = _trained(3), _trained(3), _trained(4)
    assert curve == curve_again
    assert all(torch.equal(first.state_dict()[name], again.state_dict()[name]) for name in first.state_dict())
    assert not torch.equal(first.head.weight, other.head.weight)


def test_training_leaves_the_random_state_of_the_caller_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _trained(0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("where", ["memory", "file", "nowhere"])
def test_what_frozen_blocks_make_of_pictures_is_the_same_wherever_it_is_kept(where: str, tmp_path: Path) -> None:
    budget = {"memory": CacheBudget(), "file": CacheBudget(0, tmp_path), "nowhere": CacheBudget(0)}[where]
    indices, views = torch.tensor([5, 0, 29, 5]), torch.tensor([0, 1, 1, 1])
    classifier, samples = _classifier().eval(), _labelled(30, budget=budget)
    expected = classifier.backbone.blocks[:NUM_FROZEN](samples.batch(indices, views, 0))
    torch.testing.assert_close(samples.batch(indices, views, NUM_FROZEN), expected, atol=1e-5, rtol=1e-4)
    features = classifier(samples.batch(indices, views, NUM_FROZEN), start=NUM_FROZEN)
    torch.testing.assert_close(classifier(samples.batch(indices, views, 16), start=16), features)
    assert list(tmp_path.iterdir()) == []  # the file has no name any more


def test_frozen_blocks_in_bfloat16_are_trained_on_wherever_their_activations_are_kept(tmp_path: Path) -> None:
    losses = []
    for budget in (CacheBudget(), CacheBudget(0, tmp_path), CacheBudget(0)):
        pictures, labels = _pictures(16)
        inputs = ImageInputs(pictures, ["identity"], lambda x: x / 127.5 - 1, CPU)
        activations = FrozenActivations(inputs, _classifier().backbone.blocks, torch.bfloat16, budget, "frozen blocks")
        data = ArmData(LabelledSamples(activations, labels, torch.ones(16)))
        losses.append(train(_classifier(), data, RECIPE, seed=0, runtime=Runtime(FABRIC))[-1].train_loss)
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-2)  # batches of other sizes round otherwise


def test_the_loop_learns() -> None:
    classifier, curve = _trained(0, _recipe(num_epochs=20, head_rate=1e-3))
    fresh = _labelled(40, seed=9)
    predicted = predict(classifier, fresh).argmax(dim=1)
    assert curve[-1].train_loss < curve[0].train_loss
    assert (predicted == fresh.labels_N).double().mean() > 0.7  # 0.5 by chance


def test_an_epoch_can_be_a_part_of_one() -> None:
    _, whole = _trained(0, _recipe(num_epochs=2))
    _, part = _trained(0, _recipe(num_epochs=1.5))
    assert [record.epoch for record in whole] == [1, 2]
    assert [record.epoch for record in part] == [1, 2]
    assert part[1].train_loss != whole[1].train_loss


def test_samples_without_weight_do_not_train() -> None:
    classifier, other = _classifier(), _classifier()
    data, poisoned = _labelled(30), _labelled(30)
    weights = torch.ones(30)
    weights[:10] = 1e-12
    wrong = data.labels_N.clone()
    wrong[:10] = 1 - wrong[:10]
    validation = _labelled(10, 1)
    one_step_an_epoch = _recipe(batch_size=30)
    for model, labels, samples in ((classifier, data.labels_N, data), (other, wrong, poisoned)):
        weighted = ArmData(LabelledSamples(samples.inputs, labels, weights), validation)
        train(model, weighted, one_step_an_epoch, seed=0, runtime=Runtime(FABRIC))
    torch.testing.assert_close(classifier.head.weight, other.head.weight)


def test_predictions_are_the_mean_over_views_and_sum_to_one() -> None:
    classifier = _classifier()
    data = _labelled(12)
    both = predict(classifier, data)
    single = predict(classifier, data, num_views=1)
    assert both.shape == (12, 2)
    torch.testing.assert_close(both.sum(dim=1), torch.ones(12))
    assert not torch.equal(both, single)


def test_training_all_blocks_costs_three_forward_passes_an_epoch() -> None:
    backbone = build_backbone("torchvision/mobilenet_v2", 0)

    def cost(num_frozen: int, num_epochs: float, num_views: int) -> float:
        phases = (Phase(num_frozen, num_epochs, 1e-3, 1e-3),)
        return training_flops(backbone, 64, phases, num_views=num_views, num_train=10)

    one_forward = cost(num_frozen=19, num_epochs=1, num_views=1)
    full = cost(num_frozen=0, num_epochs=2, num_views=1)
    assert full == pytest.approx(2 * 3 * one_forward)
    partial = cost(num_frozen=10, num_epochs=2, num_views=4)
    assert 4 * one_forward * 0.3 < partial < full


def test_a_finished_seed_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ArmData(_labelled(30), _labelled(20, 1), _labelled(16, 2))
    first = run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path, _watch, TickingMeter())
    left_by_a_kill = [tmp_path / f"seed_0-step_000000003.safetensors{end}" for end in ("", ".sha256")]
    left_by_a_kill.append(tmp_path / ".seed_0-step_000000004.safetensors.0.part")
    for path in left_by_a_kill:
        path.write_bytes(b"")
    resumed = run_seeds(_classifier, data, RECIPE, [0, 1], FABRIC, tmp_path, _watch, TickingMeter())
    said = capsys.readouterr().out
    assert "already trained, kept" in said
    assert resumed[0].curve == first[0].curve
    assert torch.equal(resumed[0].test_probabilities_NK, first[0].test_probabilities_NK)
    assert [run.seed for run in resumed] == [0, 1]
    assert not any(path.exists() for path in left_by_a_kill)


def test_what_a_seed_cost_adds_up_over_a_stop_and_is_kept_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ArmData(_labelled(30), _labelled(20, 1), _labelled(16, 2))
    for _ in range(2):
        with pytest.raises(PreemptedError):
            run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path, _watch, TickingMeter(), StopsAfter(1))
    trained = run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path, _watch, TickingMeter())
    assert (trained[0].cost.seconds, trained[0].cost.energy_wh) == (3, 6)
    assert not list(tmp_path.glob("*.json"))
    kept = run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path, _watch, TickingMeter())
    assert kept[0].cost == trained[0].cost
    assert "already trained, kept; it took 3 s, 6 Wh, 1.5 g CO2" in capsys.readouterr().out


def test_what_was_kept_of_another_seed_is_said_and_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ArmData(_labelled(30), _labelled(20, 1), _labelled(16, 2))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path / "a", _watch, TickingMeter())
    expected = run_seeds(_classifier, data, RECIPE, [1], FABRIC, tmp_path / "b", _watch, TickingMeter())
    for ending in ("safetensors", "safetensors.sha256"):
        shutil.copy(tmp_path / "a" / f"seed_0.{ending}", tmp_path / "b" / f"seed_1.{ending}")
    again = run_seeds(_classifier, data, RECIPE, [1], FABRIC, tmp_path / "b", _watch, TickingMeter())
    assert again[0].curve == expected[0].curve
    assert "was written for another training" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_said_and_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ArmData(_labelled(30), _labelled(20, 1), _labelled(16, 2))
    first = run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path, _watch, TickingMeter())
    checkpoint = tmp_path / "seed_0.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 1
    checkpoint.write_bytes(content)
    assert checksum_path(checkpoint).exists()
    again = run_seeds(_classifier, data, RECIPE, [0], FABRIC, tmp_path, _watch, TickingMeter())
    assert "its saved result is damaged" in capsys.readouterr().out
    assert torch.equal(again[0].test_probabilities_NK, first[0].test_probabilities_NK)


def test_few_epochs_never_count_as_converged() -> None:
    converged, words = has_converged([], 2.5)
    assert not converged
    assert words == "not converged in 2.5 epochs"


@pytest.mark.parametrize(("kept", "are_kept"), [("source", True), ("target", False)])
def test_batchnorm_keeps_the_statistics_of_the_source_where_it_is_told_to(
    kept: Literal["source", "target"], are_kept: bool
) -> None:
    model, data = tiny_classifier(0), digits(0, 64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings = dataclasses.replace(recipe(0.01, num_epochs=1), batchnorm_statistics=kept)
    train(model, ArmData(data, data), settings, seed=0, runtime=Runtime(join_processes(CPU)))
    same = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])}
    statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert len(statistics) == 9
    assert same == (statistics if are_kept else set())
