"""Rate of false alarms of the watch: `python -m benchmarks.watch_false_alarms` (24 healthy trainings, 10 minutes).

Real pretrained weights and random ones, on solar cells (ELPV), MNIST and UCI digits; learning rates, batch sizes,
numbers of trained blocks and seeds within the usual range. Every finding is a false alarm.

Measured 2026-11-22 with --seed 100: 1 of 24 (loss_not_decreasing; a training from random weights that ended at 66 %).
"""

import argparse
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from benchmarks.choice_tasks import read_dataset
from graft.core.arms import ArmName
from graft.hub.catalogue import load_catalogue
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import Normalise, resize
from graft.networks.backbones import Classifier, build_backbone, seeded_classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.observer import EpochRecord
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe, num_steps_of
from graft.watch.findings import ADVICE, Finding
from graft.watch.watch import Watch

SIDE_PX = {"elpv": 64, "mnist": 32, "digits": 32}
VIEWS = {"elpv": ["identity", "rotate_180"], "mnist": ["identity"], "digits": ["identity"]}
NUM_VALIDATION = 250
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Run:
    dataset: str
    source: str
    arm: ArmName
    num_train: int
    num_trained_blocks: int
    """Number of trained blocks; ignored in the baseline arm, which trains all."""
    learning_rate: float
    """Learning rate of the backbone; in the transfer arm that of the head is five times as high."""
    batch_size: int
    num_epochs: float
    batchnorm_statistics: Literal["source", "target"] = "target"


RUNS = [
    Run("elpv", "efficientnet_lite0", "transfer", 900, 6, 1e-3, 16, 6),
    Run("elpv", "mobilenet_v2", "transfer", 900, 6, 1e-3, 16, 6),
    Run("elpv", "drawings_efficientnet_b0", "transfer", 900, 4, 5e-4, 32, 6),
    Run("elpv", "moderation_resnet50_thin", "transfer", 600, 4, 5e-4, 16, 5),
    Run("elpv", "documents_pplcnet_v3", "transfer", 900, 6, 1e-3, 16, 6),
    Run("elpv", "mobilenet_v2", "transfer", 300, 0, 1e-3, 16, 10),
    Run("mnist", "efficientnet_lite0", "transfer", 1000, 18, 1e-3, 16, 4),
    Run("mnist", "mobilenet_v2", "transfer", 1000, 8, 1e-3, 32, 6),
    Run("mnist", "aerial_resnet18", "transfer", 600, 3, 3e-4, 16, 4),
    Run("mnist", "documents_pplcnet_v3", "transfer", 1500, 15, 1e-3, 16, 5),
    Run("digits", "mobilenet_v2", "transfer", 1000, 19, 5e-4, 16, 4),
    Run("digits", "drawings_efficientnet_b0", "transfer", 700, 6, 1e-3, 16, 6),
    Run("digits", "moderation_resnet50_thin", "transfer", 1000, 6, 1e-3, 32, 5),
    Run("digits", "aerial_resnet18", "transfer", 300, 2, 1e-3, 8, 8),
    Run("elpv", "efficientnet_lite0", "transfer", 200, 18, 3e-4, 16, 16, "source"),
    Run("mnist", "efficientnet_lite0", "transfer", 500, 18, 3e-4, 16, 7, "source"),
    Run("digits", "mobilenet_v2", "transfer", 200, 19, 3e-4, 16, 16, "source"),
    Run("digits", "efficientnet_lite0", "transfer", 1000, 18, 3e-4, 16, 6, "source"),
    Run("elpv", "mobilenet_v2", "baseline", 900, 0, 1e-2, 16, 3),
    Run("elpv", "efficientnet_lite0", "baseline", 900, 0, 3e-3, 16, 2.5),
    Run("elpv", "documents_pplcnet_v3", "baseline", 900, 0, 1e-2, 16, 4),
    Run("mnist", "mobilenet_v2", "baseline", 1500, 0, 3e-3, 32, 5),
    Run("digits", "efficientnet_lite0", "baseline", 1200, 0, 5e-3, 16, 4),
    Run("digits", "moderation_resnet50_thin", "baseline", 1000, 0, 2e-3, 16, 3),
]


def findings_of(run: Run, seed: int) -> tuple[list[Finding], EpochRecord]:
    """Findings of the watch in a healthy training, and the last epoch's record."""
    images_NCHW, labels_N = _images(run.dataset)
    order_N = torch.randperm(len(labels_N), generator=torch.Generator().manual_seed(seed))
    validation_N, train_N = order_N[:NUM_VALIDATION], order_N[NUM_VALIDATION:][: run.num_train]
    source = load_catalogue(Path("sources.yaml"))[run.source]
    classifier = _classifier(run, seed, num_classes=int(labels_N.max()) + 1)
    normalise = Normalise.of(source.preprocessing)

    def labelled(indices_N: Tensor) -> LabelledSamples:
        inputs = ImageInputs(images_NCHW[indices_N], VIEWS[run.dataset], normalise, CPU)
        blocks = copy.deepcopy(classifier.backbone.blocks)
        activations = FrozenActivations(inputs, blocks, torch.float32, CacheBudget(), "frozen blocks")
        return LabelledSamples(activations, labels_N[indices_N], torch.ones(len(indices_N)))

    head_rate = run.learning_rate * (5 if run.arm == "transfer" else 1)
    phase = Phase(classifier.num_frozen, run.num_epochs, run.learning_rate, head_rate)
    recipe = Recipe(
        (phase,), run.batch_size, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.2,
        batchnorm_statistics=run.batchnorm_statistics,
    )  # fmt: skip
    watch = Watch(run.arm, num_steps_of(recipe, len(train_N)), num_classes=int(labels_N.max()) + 1)
    first_batch_BCHW = normalise(images_NCHW[train_N[: run.batch_size]])
    watch.check_inputs(first_batch_BCHW, classifier, source.preprocessing.mean, source.preprocessing.std)
    data = ArmData(labelled(train_N), labelled(validation_N))
    runtime = Runtime(join_processes(CPU), observers=[watch])
    *_, last = train(classifier, data, recipe, seed=seed, runtime=runtime)
    return watch.findings, last


def _classifier(run: Run, seed: int, num_classes: int) -> Classifier:
    source = load_catalogue(Path("sources.yaml"))[run.source]
    is_transfer = run.arm == "transfer"
    backbone = load_backbone(source) if is_transfer else build_backbone(source.architecture, seed)
    num_frozen = len(backbone.blocks) - run.num_trained_blocks if is_transfer else 0
    classifier = seeded_classifier(copy.deepcopy(backbone), num_classes, dropout=0.2, seed=seed, device=CPU)
    classifier.freeze(num_frozen)
    return classifier


@cache
def _images(dataset: str) -> tuple[Tensor, Tensor]:
    """Images, uint8 [N, 3, H, W], and labels [N]."""
    images_NHW, labels_N = read_dataset(dataset)
    resized = [
        resize(torch.tensor(image_HW, dtype=torch.float32).expand(1, 3, -1, -1), SIDE_PX[dataset])
        for image_HW in images_NHW
    ]
    return torch.cat(resized).round().to(torch.uint8), torch.from_numpy(labels_N)


def results(runs: list[Run], seed: int) -> Iterator[list[Finding]]:
    for number, run in enumerate(runs, start=1):
        findings, last = findings_of(run, seed + number)
        accuracy = f"accuracy {last.validation_accuracy:.1%}, training loss {last.train_loss:.3f}"
        print(f"{number:2} {run.dataset} {run.source} {run.arm}: {accuracy}, {len(findings)} findings", flush=True)
        yield findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    findings_by_run = list(results(RUNS, arguments.seed))
    by_rule = Counter(finding.rule for findings in findings_by_run for finding in findings)
    print(f"{sum(map(bool, findings_by_run))} of {len(findings_by_run)} trainings with a false alarm")
    for rule in ADVICE:
        print(f"  {rule}: {by_rule[rule]}")


if __name__ == "__main__":
    main()
