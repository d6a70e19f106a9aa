"""Overhead of the watch: `python -m benchmarks.watch_overhead`.

Processor time of trainings of MobileNetV2 with a watch that samples every step and without a watch, alternately in one
process, median of the ratios. A watch samples few steps; its overhead is proportional to their share.

Measured 2026-11-22, 2 Xeon cores, torch 2.14.1: a sampled step costs 17 to 18 % more, so a training of 100
steps 1.5 to 1.6 % more, one of 1,000 steps 0.5 %.
"""

import copy
import statistics
import time

import torch

from graft.core.memory import keep_freed_memory
from graft.networks.backbones import Classifier, build_backbone
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe, num_steps_of
from graft.watch.findings import Thresholds
from graft.watch.watch import Watch, is_sampled

NUM_TRAIN, SIDE_PX, NUM_BLOCKS, NUM_REPEATS = 160, 96, 19, 9
CPU = torch.device("cpu")


def training_s(num_trained_blocks: int, *, is_watched: bool) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("torchvision/mobilenet_v2", 0)
        classifier = Classifier(backbone, 2, 0.2, NUM_BLOCKS - num_trained_blocks).to(memory_format=torch.channels_last)
        images = torch.randint(0, 256, (NUM_TRAIN, 3, SIDE_PX, SIDE_PX), dtype=torch.uint8)
    labels = torch.arange(NUM_TRAIN) % 2
    plain = ImageInputs(images, ["identity"], lambda x: x / 127.5 - 1, CPU)
    blocks = copy.deepcopy(backbone.blocks)
    activations = FrozenActivations(plain, blocks, torch.float32, CacheBudget(), "frozen blocks")
    data = LabelledSamples(activations, labels, torch.ones(NUM_TRAIN))
    limits = Thresholds(sampled_every=1)
    phase = Phase(NUM_BLOCKS - num_trained_blocks, 3, backbone_learning_rate=1e-3, head_learning_rate=5e-3)
    recipe = Recipe((phase,), 16, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.2)
    watch = Watch("transfer", num_steps_of(recipe, NUM_TRAIN), num_classes=2, limits=limits, say=lambda _line: None)
    runtime = Runtime(join_processes(CPU), observers=[watch] if is_watched else [])
    started_s = time.process_time()
    train(classifier, ArmData(data, data), recipe, seed=0, runtime=runtime)
    return time.process_time() - started_s


def main() -> None:
    keep_freed_memory()
    for num_trained_blocks in (NUM_BLOCKS, 6):
        ratios = []
        for _ in range(NUM_REPEATS):
            plain_s = training_s(num_trained_blocks, is_watched=False)
            ratios.append(training_s(num_trained_blocks, is_watched=True) / plain_s)
        added = statistics.median(ratios) - 1
        spread = f"{min(ratios) - 1:+.0%} to {max(ratios) - 1:+.0%}"
        print(f"{num_trained_blocks} trained blocks, every step sampled: {added:+.1%} ({spread})")
        for num_steps in (100, 300, 1000):
            share = sum(is_sampled(step, Thresholds().sampled_every) for step in range(1, num_steps + 1)) / num_steps
            print(f"  a training of {num_steps} steps, {share:.1%} of them sampled: {share * added:+.2%}")


if __name__ == "__main__":
    main()
