"""Task shared by the steps of benchmarks/gpu_check.py: images, weights, a classifier, and rows of the table.

N samples, B batch, S side of the square that the network sees, K classes.
"""

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor

from graft.core.choices import Method
from graft.core.config import Params
from graft.core.params_file import load_params
from graft.data.build import IngestRules, build_manifest
from graft.data.manifest import class_names, read_manifest, usable_samples
from graft.data.stratify import SplitMemory
from graft.experiment.recipes import finetune_recipe
from graft.hub.cache import weights_folder
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.fetch import fetch_weights, pinned
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import Normalise
from graft.modalities.image.modality import ImageModality
from graft.networks.backbones import Backbone, Classifier, seeded_classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import LabelledSamples, load_images_by_split
from graft.training.defaults import default_blocks, default_rate, resolve_auto
from graft.training.inputs import ImageInputs
from graft.training.recipe import Recipe, shortened

PROJECT = Path(__file__).parents[1]
CPU = torch.device("cpu")
SEED = 0
BATCHES_AN_EPOCH = 8


@dataclass(frozen=True)
class Row:
    quantity: str
    found: str
    required: str = ""
    """Requirement in words; empty: none."""
    is_met: bool | None = None
    """Whether the requirement is met; None if there is none."""


def at_most(quantity: str, value: float, limit: float) -> Row:
    return Row(quantity, f"{value:.2g}", f"at most {limit:g}", value <= limit)  # NaN does not pass


def at_least(quantity: str, value: float, limit: float) -> Row:
    return Row(quantity, f"{value:.2f}", f"at least {limit:g}", value >= limit)


@dataclass(frozen=True)
class Size:
    """Amount of computation: a GPU needs seconds for what takes a CPU minutes."""

    num_images: int
    side_px: int
    num_steps: int
    """Number of training steps that are timed, or compared with those of the CPU."""
    num_epochs: int | None
    """Epochs of the whole training; None: as in params.yaml."""


@dataclass(frozen=True)
class Task:
    device: torch.device
    folder: Path
    """Folder of a project with data/ and artifacts/manifest.parquet."""
    size: Size
    params: Params
    """Params with every `auto` resolved."""
    source: Source
    backbone: Backbone
    """Pretrained backbone on the CPU, to be copied before use."""
    manifest: pd.DataFrame
    images: dict[str, Tensor]
    """Images of each split."""
    classes: list[str]

    @property
    def labels_N(self) -> Tensor:
        """Labels of the training split."""
        labels = usable_samples(self.manifest, "train")["label"]
        return torch.tensor([self.classes.index(label) for label in labels])

    def recipe(
        self,
        num_steps: int,
        method: Method | None = None,
        *,
        batch_size: int | None = None,
        num_samples: int | None = None,
        **others: Any,
    ) -> Recipe:
        """Recipe of the shipped params, shortened to `num_steps`, or a few more or less if it has several phases.

        Args:
            method: method of fine-tuning; None: the shipped one.
            batch_size: samples per batch; None: the shipped value.
            num_samples: number of training samples; None: the whole split.
            others: fields of Recipe.
        """
        params = self.params
        if method is not None:
            of_method = {"num_trained_blocks": default_blocks(method), "backbone_learning_rate": default_rate(method)}
            finetune = params.finetune.model_dump() | of_method | {"method": method}
            params = Params.model_validate(params.model_dump(by_alias=True) | {"finetune": finetune})
        others["batch_size"] = batch_size or params.arms.batch_size
        recipe = replace(finetune_recipe(params, len(self.backbone.blocks)), **others)
        return shortened(recipe, num_steps, num_samples or len(self.images["train"]))

    def classifier(self, device: torch.device, dropout: float = 0.0) -> Classifier:
        """Classifier with the source's weights and the same fresh head each time.

        Args:
            dropout: share of features dropped; which ones differs between devices.
        """
        return seeded_classifier(
            copy.deepcopy(self.backbone), len(self.classes), dropout=dropout, seed=SEED, device=device
        )

    def inputs(self, split: str, device: torch.device, **augmentation: Any) -> ImageInputs:
        normalise = Normalise.of(self.source.preprocessing).to(device)
        return ImageInputs(self.images[split], list(self.params.inputs.views), normalise, device, **augmentation)

    def labelled(self, split: str, device: torch.device, **augmentation: Any) -> LabelledSamples:
        """Samples of a split with frozen activations in float32."""
        blocks = copy.deepcopy(self.backbone).to(device).to(memory_format=torch.channels_last).blocks
        inputs = self.inputs(split, device, **augmentation)
        activations = FrozenActivations(inputs, blocks, torch.float32, CacheBudget(), f"frozen blocks, {split}")
        return LabelledSamples.of(activations, usable_samples(self.manifest, split), self.classes)

    def full_batches(self, device: torch.device, batch_size: int) -> LabelledSamples:
        """Training samples, some repeated or dropped, so that every batch of an epoch is full."""
        whole = self.labelled("train", device)
        return whole.subset(torch.arange(batch_size * BATCHES_AN_EPOCH) % len(whole))


def make_task(data_dir: Path, folder: Path, source_name: str, size: Size, device: torch.device) -> Task:
    """Ingests some images of `data_dir` (with a labels.csv) and loads the weights of the source.

    From here on the cache is in `folder`, so that no result of an earlier run is used.
    """
    source = pinned(load_catalogue(PROJECT / "sources.yaml")[source_name])
    _move_cache(fetch_weights(source), folder / "cache")
    copy_some(data_dir, folder / "data", size.num_images)
    params = _params(size)
    artifacts = folder / "artifacts"
    artifacts.mkdir(exist_ok=True)
    rules = IngestRules(**params.ingest.model_dump(exclude={"max_quarantined_fraction", "background"}))
    rules = replace(rules, near_duplicate_similarity=None)  # the search uses no GPU and needs another library
    kind = ImageModality(params.ingest.background)
    build_manifest(folder / "data", artifacts, folder / "index.sqlite", kind, rules, SplitMemory(by_key={}))
    manifest = read_manifest(artifacts / "manifest.parquet")
    return Task(
        device=device,
        folder=folder,
        size=size,
        params=resolve_auto(
            params, num_train=len(usable_samples(manifest, "train")), num_classes=len(class_names(manifest))
        ),
        source=source,
        backbone=load_backbone(source),
        manifest=manifest,
        images=load_images_by_split(folder / "data", manifest, size.side_px),
        classes=class_names(manifest),
    )


def copy_some(data_dir: Path, folder: Path, num_images: int) -> None:
    """Copies random images with the class shares of the whole data set; all images if there are no more."""
    samples = pd.read_csv(data_dir / "labels.csv")
    if num_images < len(samples):
        split = StratifiedShuffleSplit(1, train_size=num_images, random_state=SEED)
        samples = samples.iloc[sorted(next(split.split(samples, samples["label"]))[0])]
    for path in samples["path"]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data_dir / path, folder / path)
    samples.to_csv(folder / "labels.csv", index=False)


def _move_cache(weights: Path, cache: Path) -> None:
    os.environ["GRAFT_CACHE"] = str(cache)
    weights_folder().mkdir(parents=True, exist_ok=True)
    shutil.copy(weights, weights_folder())


def _params(size: Size) -> Params:
    shipped = load_params(PROJECT / "params.yaml").model_dump(by_alias=True)
    shipped["inputs"]["image_size_px"] = size.side_px
    if size.num_epochs is not None:
        shipped["finetune"]["num_epochs"] = size.num_epochs
    return Params.model_validate(shipped)


@contextmanager
def cudnn_flags(**values: bool) -> Iterator[None]:
    """Temporarily sets `allow_tf32` or `deterministic` to values other than those of
    `graft.core.device.pick_device`."""
    before = {name: getattr(torch.backends.cudnn, name) for name in values}
    for name, value in values.items():
        setattr(torch.backends.cudnn, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)


def wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
