"""What the watch costs: `python -m benchmarks.watch_overhead`.

Processor time of whole trainings of MobileNetV2 with and without it, alternately in one process, median of the ratios.
One hundred steps, of which nine are looked at: a longer training pays less.
"""

import argparse
import statistics
import time

import torch

from graft.hub.backbones import Classifier, build_backbone
from graft.memory import keep_freed_memory
from graft.training.inputs import ActivationInputs, PictureInputs
from graft.training.loop import Labelled, Recipe, steps_of, train
from graft.training.watch import Watch

NUM_TRAIN, SIDE_PX, NUM_BLOCKS = 400, 96, 19
RECIPE = Recipe(
    num_epochs=4, batch_size=16, backbone_learning_rate=1e-3, head_learning_rate=5e-3,
    weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.2,
)  # fmt: skip


def training_s(num_trained_blocks: int, *, is_watched: bool) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("torchvision/mobilenet_v2", 0)
        classifier = Classifier(backbone, 2, 0.2, NUM_BLOCKS - num_trained_blocks).to(memory_format=torch.channels_last)
        pictures = torch.randint(0, 256, (NUM_TRAIN, 3, SIDE_PX, SIDE_PX), dtype=torch.uint8)
    labels = torch.arange(NUM_TRAIN) % 2
    plain = PictureInputs(pictures, ["identity"], lambda x: x / 127.5 - 1, classifier.prefix, torch.device("cpu"))
    inputs = ActivationInputs(plain, 64, "frozen blocks")
    data = Labelled(inputs, labels, torch.ones(NUM_TRAIN))
    started_s = time.process_time()
    watch = Watch("transfer", steps_of(RECIPE, NUM_TRAIN), say=lambda _line: None) if is_watched else None
    list(train(classifier, data, data, RECIPE, seed=0, watch=watch))
    return time.process_time() - started_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    keep_freed_memory()
    for num_trained_blocks in (NUM_BLOCKS, 6):
        ratios = []
        for _ in range(parser.parse_args().repeats):
            plain_s = training_s(num_trained_blocks, is_watched=False)
            ratios.append(training_s(num_trained_blocks, is_watched=True) / plain_s)
        listed = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{num_trained_blocks} trained blocks: {plain_s:.1f} s, ratio {statistics.median(ratios):.3f} ({listed})")


if __name__ == "__main__":
    main()
