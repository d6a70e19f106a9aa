"""Share of the time of training steps that is spent on loading data: `python -m benchmarks.input_share` (three
minutes).

Half an epoch on 1,968 cells of ELPV at 160 px, two views, efficientnet_lite0, batches of 16, by method; the
share is the loop's own count (graft.training.pace.Pace), the median of three runs with the lowest and highest.

2026-11-22, one core of an AMD EPYC, torch 2.14.1; aim: below 5 %.

    linear_probe                                34.4 % (32.1 to 34.8 %) of 0.1 s
    partial, 6 blocks, kept in memory            0.4 % (0.4 to 0.4 %) of 5.0 s
    partial, 6 blocks, kept in a mapped file     0.5 % (0.4 to 0.6 %) of 4.9 s
    full                                         1.1 % (1.1 to 1.1 %) of 19.7 s
    full, with two augmented views               4.5 % (4.5 to 4.5 %) of 21.0 s

The linear probe misses the aim: its whole training takes a tenth of a second.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.features import processor
from benchmarks.finetune_task import NUM_CLASSES, Task, decode_cells, read_task
from graft.core.device import forward_precision
from graft.core.memory import keep_freed_memory
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import Classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.pace import Pace
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe

CPU = torch.device("cpu")
SIDE_PX = 160
NUM_EPOCHS = 0.5
NUM_RUNS = 3


@dataclass(frozen=True)
class Variant:
    num_frozen: int
    memory_bytes: float = 1e10
    augmentation: str = "none"


NUM_BLOCKS = 18
VARIANTS = {
    "linear_probe": Variant(NUM_BLOCKS),
    "partial, 6 blocks, kept in memory": Variant(NUM_BLOCKS - 6),
    "partial, 6 blocks, kept in a mapped file": Variant(NUM_BLOCKS - 6, memory_bytes=0),
    "full": Variant(0),
    "full, with two augmented views": Variant(0, augmentation="inspection"),
}


def share(variant: Variant, task: Task, folder: Path) -> Pace:
    backbone = load_backbone(task.source)
    assert len(backbone.blocks) == NUM_BLOCKS
    inputs = ImageInputs(
        task.train_images_NCHW, ["identity", "rotate_180"], Normalise.of(task.source.preprocessing), CPU,
        augmentation=variant.augmentation, num_augmented=0 if variant.augmentation == "none" else 2,
    )  # fmt: skip
    budget = CacheBudget(variant.memory_bytes, folder)
    activations = FrozenActivations(inputs, backbone.blocks, forward_precision(CPU), budget, "frozen blocks")
    classifier = Classifier(load_backbone(task.source), NUM_CLASSES, 0.2).to(memory_format=torch.channels_last)
    data = LabelledSamples(activations, task.train_labels_N, task.train_weights_N)
    phase = Phase(variant.num_frozen, NUM_EPOCHS, backbone_learning_rate=1e-3, head_learning_rate=5e-3)
    recipe = Recipe((phase,), batch_size=16, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.2)
    pace = Pace()
    train(classifier, ArmData(data), recipe, seed=0, runtime=Runtime(join_processes(CPU), observers=[pace]))
    return pace


def main() -> None:
    keep_freed_memory()
    print(f"{processor()}, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as baseline:
        folder = Path(baseline)
        decode_cells(folder, {SIDE_PX}, num_cells=None)
        task = read_task(folder, SIDE_PX, split=0)
        for name, variant in VARIANTS.items():
            paces = [share(variant, task, folder) for _ in range(NUM_RUNS)]
            shares = [100 * pace.waited_s / pace.spent_s for pace in paces]
            steps_s = statistics.median(pace.spent_s for pace in paces)
            spread = f"{min(shares):.1f} to {max(shares):.1f} %"
            print(f"{name}: {statistics.median(shares):.1f} % ({spread}) of {steps_s:.1f} s", flush=True)


if __name__ == "__main__":
    main()
