"""A training that was stopped goes on as if nothing had happened, whatever its method."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stopping import StopsAfter
from torch import Tensor, nn

from graft.core.errors import PreemptedError
from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Backbone, Classifier
from graft.training import checkpoints as checkpoints_module
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.checkpoints import Checkpoints
from graft.training.data import ArmData, LabelledSamples
from graft.training.evaluation import predict
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.methods import METHODS, phases_of
from graft.training.observer import EpochRecord
from graft.training.processes import join_processes
from graft.training.recipe import Recipe, num_steps_of
from graft.watch.watch import Watch

CPU = torch.device("cpu")
FABRIC = join_processes(CPU)
NUM_SAMPLES = 21


def _backbone() -> Backbone:
    """Four blocks with dropout, BatchNorm and the norm that is folded into foreign weights."""
    torch.manual_seed(0)
    blocks = [
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.Conv2d(6, 6, 3), FoldedNorm(6), nn.ReLU(), nn.Dropout(0.3)),
        nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3), FoldedNorm(8), nn.ReLU()),
    ]
    for block in blocks:
        for module in block.modules():
            if isinstance(module, FoldedNorm):
                module.is_folded = True
    return Backbone(blocks, 8).eval()


def _labelled(seed: int) -> LabelledSamples:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(NUM_SAMPLES) % 3
    noise = torch.randint(0, 120, (NUM_SAMPLES, 3, 16, 16), generator=generator)
    pictures = (noise + 60 * labels_N[:, None, None, None]).to(torch.uint8)
    inputs = ImageInputs(pictures, ["identity", "flip_vertical"], lambda x: x / 127.5 - 1, CPU)
    activations = FrozenActivations(inputs, _backbone().blocks, torch.bfloat16, CacheBudget(), "frozen blocks")
    return LabelledSamples(activations, labels_N, torch.rand(NUM_SAMPLES, generator=generator) + 0.5)


def _recipe(method: str, num_epochs: int = 3, rate: float = 0.01) -> Recipe:
    phases = phases_of(
        method, num_blocks=4, num_trained_blocks=3, num_epochs=num_epochs, probe_epochs=1,
        backbone_learning_rate=rate, head_learning_rate=2 * rate,
    )  # fmt: skip
    lora_rank = 2 if method == "lora" else None
    return Recipe(
        phases, batch_size=4, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.3, lora_rank=lora_rank
    )


Outcome = tuple[list[EpochRecord], dict[str, Tensor]]


ALL_AT_ONCE = {
    "schedule": "cosine", "layer_decay": 0.7, "decay_norm_and_bias": False, "class_balance": "sampling",
    "mixing": "mixup", "ema_decay": 0.9, "wise_ft_share": 0.7, "l2_sp": 0.01, "bss": 0.001,
    "early_stopping_patience": 2,
}  # fmt: skip


def _run(
    method: str,
    folder: Path | None = None,
    stop: StopsAfter | None = None,
    num_epochs: int = 3,
    rate: float = 0.01,
    **changes: Any,
) -> Outcome:
    torch.manual_seed(1)
    model = Classifier(_backbone(), num_classes=3, dropout=0.5).to(memory_format=torch.channels_last)  # as arms have it
    kept = None if folder is None else Checkpoints(folder, "seed_7")
    recipe = replace(_recipe(method, num_epochs, rate), **changes)
    watch = Watch("transfer", num_steps_of(recipe, NUM_SAMPLES), num_classes=3)
    runtime = Runtime(FABRIC, kept, stop, [watch])
    curve = train(model, ArmData(_labelled(0), _labelled(1)), recipe, seed=7, runtime=runtime)
    predicted = {"probabilities": predict(model, _labelled(1))}
    return curve, model.state_dict() | predicted


def _same(first: Outcome, second: Outcome) -> bool:
    return first[0] == second[0] and all(torch.equal(first[1][name], second[1][name]) for name in first[1])


@pytest.mark.parametrize("method", METHODS)
def test_stopped_after_any_step_it_ends_as_if_it_had_not_been(method: str, tmp_path: Path) -> None:
    undisturbed = _run(method)
    num_steps = num_steps_of(_recipe(method), NUM_SAMPLES)
    for step in range(1, num_steps + 1):
        with pytest.raises(PreemptedError, match=f"stopped after step {step};"):
            _run(method, tmp_path / str(step), StopsAfter(step))
        assert _same(_run(method, tmp_path / str(step)), undisturbed), step
    assert num_steps > 10


def test_every_ingredient_survives_a_stop(tmp_path: Path) -> None:
    undisturbed = _run("lp_ft", **ALL_AT_ONCE)
    assert not _same(undisturbed, _run("lp_ft"))
    for step in range(1, num_steps_of(_recipe("lp_ft"), NUM_SAMPLES)):
        with pytest.raises(PreemptedError):
            _run("lp_ft", tmp_path / str(step), StopsAfter(step), **ALL_AT_ONCE)
        assert _same(_run("lp_ft", tmp_path / str(step), **ALL_AT_ONCE), undisturbed), step


@pytest.mark.parametrize("name", sorted(ALL_AT_ONCE.keys() - {"early_stopping_patience"}))
def test_every_ingredient_changes_the_training(name: str) -> None:
    plain, changed = _run("lp_ft", num_epochs=6), _run("lp_ft", num_epochs=6, **{name: ALL_AT_ONCE[name]})
    assert not _same(plain, changed)


def test_early_stopping_keeps_the_best_epoch_and_ends_the_training() -> None:
    patient = _run("full", num_epochs=40, rate=0.3, early_stopping_patience=3)
    best = min(patient[0], key=lambda record: record.validation_loss)
    assert patient[0][-1].epoch == best.epoch + 3 < 40
    until_best = _run("full", num_epochs=40, rate=0.3, early_stopping_patience=39)
    assert patient[0] == until_best[0][: len(patient[0])]
    assert not torch.equal(patient[1]["head.weight"], _run("full", num_epochs=40, rate=0.3)[1]["head.weight"])


def test_it_can_be_stopped_again_and_again(tmp_path: Path) -> None:
    for _ in range(6):
        with pytest.raises(PreemptedError):
            _run("gradual_unfreeze", tmp_path, StopsAfter(2))
    assert _same(_run("gradual_unfreeze", tmp_path), _run("gradual_unfreeze"))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "without checksum"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_taken(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with pytest.raises(PreemptedError):
            _run("lp_ft", tmp_path, StopsAfter(4))
    last = max(tmp_path.glob("*.safetensors"))
    content = bytearray(last.read_bytes())
    if damage == "flipped":
        content[-9] ^= 1
        last.write_bytes(content)
    elif damage == "cut":
        last.write_bytes(content[:1000])
    else:
        last.with_name(last.name + ".sha256").unlink()
    assert _same(_run("lp_ft", tmp_path), _run("lp_ft"))
    said = capsys.readouterr().out
    assert f"skipping a checkpoint: {last}" in said
    assert "resuming from step 4" in said


def test_a_whole_checkpoint_of_another_training_is_said_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PreemptedError):
        _run("lp_ft", tmp_path / "one", StopsAfter(4), rate=0.1)
    shutil.copytree(tmp_path / "one", tmp_path / "another")
    assert _same(_run("lp_ft", tmp_path / "another"), _run("lp_ft"))
    assert capsys.readouterr().out.count("was written for another training") == 1


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save = checkpoints_module.save_tensors
    _fails_after(monkeypatch, save, num_good=3)
    monkeypatch.setenv("GRAFT_CHECKPOINT_EVERY_S", "0")
    assert _same(_run("partial", tmp_path), _run("partial"))
    assert "No space left on device" in capsys.readouterr().out
    assert [path.name for path in sorted(tmp_path.glob("*.safetensors"))] == [
        "seed_7-step_000000002.safetensors", "seed_7-step_000000003.safetensors"
    ]  # fmt: skip


def _fails_after(monkeypatch: pytest.MonkeyPatch, save: Callable[..., None], num_good: int) -> None:
    calls = iter(range(10_000))

    def sometimes(path: Path, *content: object) -> None:
        if next(calls) >= num_good:
            path.write_bytes(b"half of i")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, *content)

    monkeypatch.setattr(checkpoints_module, "save_tensors", sometimes)


def test_a_checkpoint_of_other_code_is_removed_and_the_training_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        before.setattr("graft.training.checkpoints._code", lambda: "another")
        with pytest.raises(PreemptedError):
            _run("lp_ft", tmp_path, StopsAfter(5))
    assert _same(_run("lp_ft", tmp_path), _run("lp_ft"))
    said = capsys.readouterr().out
    assert "another version of the code" in said
    assert "resuming from step" not in said
