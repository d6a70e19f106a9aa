"""Fine-tuning with fastai's `fine_tune`, as in its tutorials. N samples.

It needs fastai, which is no dependency of the project: benchmarks/finetune_speed.py explains how to install it.
"""

import torch
from fastai.vision.all import (
    Callback,
    CancelValidException,
    Categorize,
    CrossEntropyLossFlat,
    Datasets,
    IntToFloatTensor,
    L,
    Learner,
    Normalize,
    PILImage,
    ToTensor,
    apply_init,
    aug_transforms,
    create_head,
    params,
    set_seed,
)
from torch import nn

from benchmarks.finetune_task import NUM_CLASSES, Clock, Task
from graft.hub.weights import load_backbone

NUM_FROZEN_EPOCHS = 1
"""Epochs of the head alone, fastai's default. BatchNorm of the body is trained too, so they save little time."""


class TestedAfterEpoch(Callback):
    """Callback that tests the model in place of fastai's own validation, which would take additional time."""

    def __init__(self, clock: Clock, num_epochs: int) -> None:
        self.clock = clock
        self.num_epochs_left = num_epochs
        self.num_epochs_done = 0

    def after_train(self) -> None:
        self.num_epochs_left -= 1
        self.num_epochs_done += 1
        self.clock.test(self.learn.model, self.num_epochs_done, is_end=self.num_epochs_left == 0)

    def before_validate(self) -> None:
        raise CancelValidException


def fine_tune(
    task: Task, clock: Clock, *, num_epochs: int, batch_size: int, num_workers: int, base_learning_rate: float
) -> None:
    """Trains one epoch with the body frozen and `num_epochs` with all layers, with the head, the rates and the
    augmentation of fastai.

    `fine_tune` has no sample weights, so uncertain labels count in full.
    """
    set_seed(task.split)
    backbone = load_backbone(task.source)
    head = create_head(backbone.num_features, NUM_CLASSES)
    apply_init(head, nn.init.kaiming_normal_)
    learner = Learner(
        _data_loaders(task, batch_size, num_workers),
        nn.Sequential(backbone.blocks, head),
        loss_func=CrossEntropyLossFlat(),
        splitter=lambda model: L(model[0], model[1]).map(params),
        cbs=TestedAfterEpoch(clock, NUM_FROZEN_EPOCHS + num_epochs),
    )
    clock.start()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(num_epochs, base_learning_rate, freeze_epochs=NUM_FROZEN_EPOCHS)


def _data_loaders(task: Task, batch_size: int, num_workers: int):
    images_NHWC = task.train_images_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
    labels_N = task.train_labels_N.tolist()
    num_samples = len(labels_N)
    expected = task.source.preprocessing

    def image_of(index: int) -> PILImage:
        return PILImage.create(images_NHWC[index])

    def label_of(index: int) -> int:
        return labels_N[index]

    datasets = Datasets(
        range(num_samples),
        [[image_of], [label_of, Categorize(vocab=range(NUM_CLASSES), sort=False)]],
        splits=[range(num_samples), [0]],
    )
    return datasets.dataloaders(
        bs=batch_size,
        num_workers=num_workers,
        device=torch.device("cpu"),
        after_item=[ToTensor()],
        after_batch=[
            IntToFloatTensor(),
            *aug_transforms(flip_vert=True),
            Normalize.from_stats(expected.mean, expected.std, cuda=False),
        ],
    )
