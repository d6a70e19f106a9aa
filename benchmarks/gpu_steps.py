"""Steps of benchmarks/gpu_check.py that compare results of the device with those of the CPU or of the device itself.

N samples, D features, K classes.
"""

import hashlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save as serialise_tensors

from benchmarks.gpu_task import CPU, PROJECT, SEED, Row, Task, at_most, cudnn_flags, wait_for
from graft.core.arms import ARMS
from graft.core.device import forward_precision
from graft.core.errors import PreemptedError
from graft.core.table_files import read_parquet, write_parquet
from graft.examination.examinee import Examinee
from graft.experiment.arms import arm_of
from graft.experiment.seeds import SeedRun
from graft.experiment.trainer import ArmTrainer
from graft.modalities.image.augmentation import PRESETS, augmented
from graft.modalities.image.inputs import Normalise
from graft.project import Project
from graft.selection.features import embed
from graft.selection.short_tuning import ShortFineTuning
from graft.serving.onnx import INPUT_NAME, OUTPUT_NAME, check_parity, compare_answers, export_onnx
from graft.serving.served import load_model
from graft.training.activations import CacheBudget
from graft.training.checkpoints import Checkpoints
from graft.training.data import ArmData, LabelledSamples
from graft.training.evaluation import predict
from graft.training.loop import Runtime, Training, train
from graft.training.methods import METHODS
from graft.training.observer import StepCounter
from graft.training.precision import measured_precisions
from graft.training.preemption import Preemption
from graft.training.processes import join_processes
from graft.training.recipe import Recipe, num_steps_of

MAX_LOSS_DIFFERENCE = {
    "float32": (1e-5, 3e-2),
    "float32 with TF32 convolutions": (1e-2, 5e-2),
    "bfloat16": (5e-2, 1e-1),
}
"""Largest relative difference from the CPU's losses in float32: in the first step, and over all steps compared.

AdamW amplifies differences: on one CPU, float32 in another layout and without oneDNN differs by 3e-7 in the first step
and by 4e-3 after twelve, and bfloat16 by 2e-2 and 4e-2. On an H200 (2026-11-27) float32 differed by 6e-7 and, with all
blocks trained, by 1.7e-2.
"""
MAX_FEATURE_ERROR = {torch.float32: 1e-4, torch.bfloat16: 0.15}
"""Largest relative difference of features from the CPU's in float32: norm of the difference over the norm."""
MAX_PIXEL_DIFFERENCE = 1e-5
"""Largest difference of normalised augmented images from the CPU's."""
NUM_COMPARED = 64


def losses(task: Task) -> Iterator[Row]:
    """Losses of the first steps of every method in float32, and of the shipped one in the other precisions."""
    num_steps = task.size.num_steps
    for method in METHODS:
        if method == "lora" and importlib.util.find_spec("peft") is None:
            yield Row(method, "not checked: peft is not installed")
            continue
        recipe = task.recipe(num_steps, method)
        found, expected = (losses_of(task, recipe, device) for device in (task.device, CPU))
        yield from _loss_rows(f"{method}, float32", found, expected, "float32")
    shipped = task.recipe(num_steps)
    expected = losses_of(task, shipped, CPU)
    if task.device.type == "cuda":
        tf32 = "float32 with TF32 convolutions"
        with cudnn_flags(allow_tf32=True):
            found = losses_of(task, shipped, task.device)
        yield from _loss_rows(f"shipped, {tf32}", found, expected, tf32)
    found = losses_of(task, task.recipe(num_steps, precision="bfloat16"), task.device)
    yield from _loss_rows("shipped, bfloat16", found, expected, "bfloat16")


def losses_of(task: Task, recipe: Recipe, device: torch.device, data: LabelledSamples | None = None) -> list[float]:
    """Loss of each step of a training on the device.

    Args:
        data: training samples; None: the training split.
    """
    data = task.labelled("train", device) if data is None else data
    runtime = Runtime(join_processes(device))
    training = Training(task.classifier(device), ArmData(data), recipe, seed=SEED, runtime=runtime)
    training.prepare()
    return [step.loss for step in training.steps()]


def _loss_rows(words: str, found: list[float], expected: list[float], precision: str) -> Iterator[Row]:
    differences = [abs(one - other) / abs(other) for one, other in zip(found, expected, strict=True)]
    of_first, of_all = MAX_LOSS_DIFFERENCE[precision]
    yield at_most(f"{words}: first loss, {found[0]:.4f}", differences[0], of_first)
    yield at_most(f"{words}: {len(found)} losses, to {found[-1]:.4f}", float(np.max(differences)), of_all)


def augmentation(task: Task) -> Iterator[Row]:
    """Augmented views as in training, and the same transforms of images on the device, which the library does not
    use."""
    for preset in PRESETS:
        batches = []
        for device in (task.device, CPU):
            inputs = task.inputs("train", device, augmentation=preset, num_augmented=1)
            indices_B = torch.arange(min(NUM_COMPARED, inputs.num_samples))
            started_s = time.perf_counter()
            batches.append(inputs.batch(indices_B, torch.full_like(indices_B, inputs.num_views - 1)).cpu())
            spent_s = time.perf_counter() - started_s
        difference = (batches[0] - batches[1]).abs().max().item()
        yield at_most(f"augmented views, {preset}, difference from the CPU's", difference, MAX_PIXEL_DIFFERENCE)
        yield Row(f"augmented views, {preset}, on the host", f"{len(indices_B) / spent_s:,.0f} images/s")
    images_BCHW = task.images["train"][:NUM_COMPARED]
    seeds_B = torch.arange(len(images_BCHW))
    on_device = images_BCHW.to(task.device)
    expected = augmented(images_BCHW, "inspection", seeds_B)
    found = augmented(on_device, "inspection", seeds_B)
    wait_for(task.device)
    started_s = time.perf_counter()
    augmented(on_device, "inspection", seeds_B)
    wait_for(task.device)
    rate = len(seeds_B) / (time.perf_counter() - started_s)
    levels = (found.cpu().int() - expected.int()).abs().max().item()
    yield Row("inspection, images on the device", f"{rate:,.0f} images/s, at most {levels} grey levels from the CPU's")


def selection(task: Task) -> Iterator[Row]:
    """Computations of select: frozen features, short fine-tuning, and the faster precision."""
    device, params = task.device, task.params
    images_NCHW, labels_N = task.images["train"], task.labels_N
    some = images_NCHW[:NUM_COMPARED]
    with torch.inference_mode():
        expected = task.backbone(Normalise.of(task.source.preprocessing)(some))
    found, precision = embed(task.source, task.backbone, some, device), forward_precision(device)
    error = ((found - expected).norm() / expected.norm()).item()
    yield at_most(
        f"features in {precision}, difference from plain float32 on the CPU", error, MAX_FEATURE_ERROR[precision]
    )
    num_frozen = task.recipe(2).phases[-1].num_frozen
    batch_size, cache = params.arms.batch_size, task.folder / "precisions"
    decided = measured_precisions(task.backbone.to(device), num_frozen, task.size.side_px, batch_size, device, cache)
    task.backbone.cpu()
    yield Row("precision: auto", str(decided))
    trial = ShortFineTuning(
        task.source, task.backbone, images_NCHW, labels_N,
        dropout=params.arms.dropout, fabric=join_processes(device), budget=CacheBudget(),
    )  # fmt: skip
    everything = torch.arange(len(labels_N))
    tuned = trial.fine_tuned(everything, task.recipe(task.size.num_steps), SEED)
    probabilities_NK = trial.probabilities(tuned, everything)
    task.backbone.cpu()
    is_finite = bool(probabilities_NK.isfinite().all())
    yield Row("short fine-tuning: probabilities", "finite" if is_finite else "not finite", "finite", is_finite)


def whole_arm(task: Task) -> Iterator[Row]:
    """Training of the transfer arm as in its stage, its energy, and the kept model's predictions on device and CPU."""
    limit = task.params.export.max_probability_difference
    ready, run = _train_arm(task)
    last, first = run.curve[-1], run.curve[0]
    words = f"{run.cost.seconds:.0f} s, validation accuracy {run.validation_accuracy:.1%}"
    is_learning = math.isfinite(run.validation_loss) and last.train_loss <= first.train_loss
    yield Row(f"shipped training, {len(run.curve)} epoch(s), {ready}", words, "loss falls", is_learning)
    energy, is_measured = run.cost.energy_wh, run.cost.energy_basis.startswith("GPU")
    found = f"{'not measured' if energy is None else f'{energy:.3g} Wh'}: {run.cost.energy_basis}"
    yield Row("energy", found, *(("the GPU's is measured", is_measured) if task.device.type == "cuda" else ()))
    state = {name: tensor.clone() for name, tensor in run.state.items()}
    answers = {}
    for name, device, is_tf32 in (("CPU", CPU, False), ("device", task.device, False), ("TF32", task.device, True)):
        model = task.classifier(device)
        model.load_state_dict(state)
        with cudnn_flags(allow_tf32=is_tf32):
            answers[name] = predict(model, task.labelled("test", device)).numpy()
    shipped, rounded = (compare_answers(answers[name], answers["CPU"]) for name in ("device", "TF32"))
    yield at_most("test probabilities, difference from the CPU's", shipped.max_probability_difference, limit)
    yield Row("the same with TF32 convolutions", f"{rounded.max_probability_difference:.2g}")
    in_training = compare_answers(run.test_probabilities_NK.numpy(), answers["CPU"])
    yield at_most("recorded probabilities, difference from the CPU's", in_training.max_probability_difference, limit)
    pixels_NSS3 = task.images["validation"].permute(0, 2, 3, 1).contiguous()
    asked = [Examinee(_model_folder(task), device).probabilities(pixels_NSS3) for device in (task.device, CPU)]
    yield at_most(
        "examine: probabilities, difference from the CPU's", compare_answers(*asked).max_probability_difference, limit
    )


def _train_arm(task: Task) -> tuple[str, SeedRun]:
    """Method and precision in words, and the run; model and predictions are written to the task's folder."""
    project, arm = Project(task.folder), arm_of("transfer", task.params, task.source)
    trainer = ArmTrainer(project, arm, task.source, task.manifest, task.images)
    with Preemption() as stop:
        recipe, _ = trainer.tuned(stop)
        (run,) = trainer.train(recipe, [SEED], stop)
    trainer.save_kept(run)
    write_parquet(project.path(ARMS["transfer"].predictions), trainer.predictions([run]))
    return f"{task.params.finetune.method}, training in {recipe.precision}", run


def _model_folder(task: Task) -> Path:
    return Project(task.folder).path(ARMS["transfer"].model)


def export(task: Task) -> Iterator[Row]:
    """Kept model as ONNX, compared with the predictions on the device, for each available provider."""
    limit, path = task.params.export.max_probability_difference, task.folder / "model.onnx"
    model, config = load_model(_model_folder(task))
    export_onnx(model, config, path, opset=task.params.export.opset)
    predictions = read_parquet(Project(task.folder).path(ARMS["transfer"].predictions))
    parity = check_parity(
        path, task.folder / "data", predictions, config.classes,
        max_probability_difference=math.inf, background=config.background,
    )  # fmt: skip
    yield at_most(
        "ONNX on the CPU, difference from the recorded probabilities", parity.max_probability_difference, limit
    )
    yield Row(
        "ONNX: same classes as recorded", f"{parity.num_agreeing} of {parity.num_compared}", "all",
        parity.num_agreeing == parity.num_compared,
    )  # fmt: skip
    pixels_BSS3 = task.images["validation"][:16].permute(0, 2, 3, 1).contiguous().numpy()
    answers = {}
    for provider in ("CPUExecutionProvider", "CUDAExecutionProvider"):
        if provider not in onnxruntime.get_available_providers():
            yield Row(f"ONNX Runtime, {provider}", f"not in this onnxruntime {onnxruntime.__version__}")
            continue
        session = onnxruntime.InferenceSession(path, providers=[provider])
        answers[provider] = session.run([OUTPUT_NAME], {INPUT_NAME: pixels_BSS3})[0]
        started_s = time.perf_counter()
        session.run([OUTPUT_NAME], {INPUT_NAME: pixels_BSS3})
        rate = len(pixels_BSS3) / (time.perf_counter() - started_s)
        answered = session.get_providers()[0]
        yield Row(
            f"ONNX Runtime, {provider}", f"{rate:,.0f} images/s; {answered} answered", provider, answered == provider
        )
    if len(answers) == 2:
        difference = float(np.abs(np.subtract(*answers.values())).max())
        yield at_most("ONNX Runtime: CUDA, difference from the CPU", difference, limit)


def resumption(task: Task) -> Iterator[Row]:
    """Bytes of the weights of a training that SIGTERM stopped in the middle and that resumed from its checkpoint."""
    shipped = task.recipe(2 * task.size.num_steps)
    rich = task.recipe(2 * task.size.num_steps, "full", precision="bfloat16", ema_decay=0.99)
    cases = {"shipped": (shipped, {}), "all blocks, bfloat16, moving average, augmented": (rich, AUGMENTED)}
    for words, (recipe, views) in cases.items():
        yield from _resumed(task, words, recipe, views)


AUGMENTED = {"augmentation": "inspection", "num_augmented": 2}


def _resumed(task: Task, words: str, recipe: Recipe, views: dict[str, Any]) -> Iterator[Row]:
    num_steps = num_steps_of(recipe, len(task.labels_N))
    started_s = time.perf_counter()
    once = _weights_after(task, recipe, views)
    spent_s = time.perf_counter() - started_s
    yield Row(f"{words}: {num_steps} steps", f"{spent_s:.1f} s")
    yield _same(f"{words}: trained again", once, _weights_after(task, recipe, views))
    folder = task.folder / f"checkpoints-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    stopped = _weights_after(task, recipe, views, folder, stop_after=num_steps // 2)
    assert stopped is None, "it was not stopped"
    resumed = _weights_after(task, recipe, views, folder)
    yield _same(f"{words}: stopped after step {num_steps // 2}, and resumed", once, resumed)


def _weights_after(
    task: Task, recipe: Recipe, views: dict[str, Any], folder: Path | None = None, stop_after: int | None = None
) -> bytes | None:
    """Serialised weights after training; None: it was stopped."""
    model = task.classifier(task.device, task.params.arms.dropout)
    taken = 0

    def count(num_steps: int) -> None:
        nonlocal taken
        taken += num_steps
        if taken == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    checkpoints = None if folder is None else Checkpoints(folder, f"seed_{SEED}")
    try:
        with Preemption() as stop:
            data = ArmData(task.labelled("train", task.device, **views), task.labelled("validation", task.device))
            runtime = Runtime(join_processes(task.device), checkpoints, stop, [StepCounter(count)])
            train(model, data, recipe, seed=SEED, runtime=runtime)
    except PreemptedError:
        return None
    return serialise_tensors({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})


def _same(words: str, one: bytes | None, other: bytes | None) -> Row:
    digests = [hashlib.sha256(content or b"").hexdigest()[:12] for content in (one, other)]
    return Row(words, " and ".join(digests), "same bytes", one is not None and one == other)


def processes(task: Task) -> Iterator[Row]:
    """Losses of two processes that share each batch, and of one; BatchNorm normalises by the source's statistics, since
    each process has half a batch."""
    if task.device.type == "cuda" and torch.cuda.device_count() < 2:
        yield Row("two processes", f"not checked: {torch.cuda.device_count()} GPU")
        return
    out = task.folder / "losses.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    size = [str(number) for number in (task.size.num_images, task.size.side_px, task.size.num_steps)]
    child = ["-m", "benchmarks.gpu_check", "--child", str(out), "--data", str(task.folder / "data"), "--source"]
    child += [task.source.name, "--limit", size[0], "--side", size[1], "--steps", size[2]]
    environment = {**os.environ, "GRAFT_DEVICE": task.device.type}
    subprocess.run([*command, *child], cwd=PROJECT, env=environment, check=True, timeout=180)
    found = json.loads(out.read_text(encoding="utf-8"))
    yield from _loss_rows("two processes, float32, against one", found, shared_losses(task), "float32")


def shared_losses(task: Task) -> list[float]:
    """Losses of a training that is the same in any number of processes."""
    data = task.full_batches(task.device, task.params.arms.batch_size)
    recipe = task.recipe(task.size.num_steps, "full", num_samples=len(data.labels_N), batchnorm_statistics="source")
    return losses_of(task, recipe, task.device, data)
