"""The training of an arm, the same for both arms."""

import copy
import dataclasses
import logging
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import torch

from graft.core.arms import ARMS, BASELINE
from graft.core.artifacts import MANIFEST
from graft.core.config import Params
from graft.core.device import describe_device, pick_device
from graft.core.files import fingerprint, sha256_of_file
from graft.core.paths import artifact_root, checkpoints, live_tracking_uri, user_cache
from graft.core.results_versions import results_version
from graft.data.images import background_of
from graft.data.manifest import class_names, usable_samples
from graft.data.splits import SPLITS
from graft.experiment.arms import Arm
from graft.experiment.search_spaces import tune
from graft.experiment.seeds import SeedRun, predictions_table, run_seeds
from graft.hub.catalogue import Source
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import Backbone, Classifier, seeded_classifier
from graft.networks.model_config import ModelConfig
from graft.networks.saved import save_classifier
from graft.project import Project
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.live_curves import LiveCurves
from graft.training.meter import meter_of
from graft.training.observer import TrainingObserver
from graft.training.precision import DTYPES, Precisions, measured_precisions
from graft.training.preemption import StopSignal
from graft.training.processes import is_first_process, join_processes
from graft.training.recipe import Recipe
from graft.training.search import Trial
from graft.watch.watch import Watch

logger = logging.getLogger(__name__)

NUM_CHECKED = 32
"""Number of images whose preprocessing the watch checks against the source."""
NOT_OF_A_TRAINING = {"seeds", "search_s", "search_trials"}
"""Keys of params.arms that do not affect a single training: the seeds, and the limits of the search."""


class ArmTrainer:
    """An arm with its images and frozen activations, ready to train any seed."""

    def __init__(
        self, project: Project, arm: Arm, source: Source, manifest: pd.DataFrame, images: dict[str, torch.Tensor]
    ) -> None:
        """
        Args:
            images: images of each split (`graft.training.data.load_images_by_split`).
        """
        self.arm = arm
        self.splits = {split: usable_samples(manifest, split) for split in SPLITS}
        self._project, self._source = project, source
        self._classes, self._background = class_names(manifest), background_of(manifest)
        self._train_ids = self.splits["train"]["sample_id"].tolist()
        self._fabric = join_processes(pick_device())
        device = self._fabric.device
        self._meter = meter_of(device)
        backbone = self._make_classifier(arm.params.arms.seeds[0]).backbone
        self._precisions = self._fabric.broadcast(_precisions(arm.params, backbone, arm.tuning.start, device))
        self.tuning = arm.tuning.in_precision(self._precisions.training)
        logger.info(f"{arm.name} arm, on {describe_device(device)}; {self._precisions}")
        if device.type != "cpu":
            logger.info("  images and activations are copied to it from pinned memory, channels last")
        kept = checkpoints(project.root)
        kept.mkdir(parents=True, exist_ok=True)
        budget = CacheBudget(1e9 * arm.params.arms.max_cached_activations_gb, kept)
        precision = DTYPES[self._precisions.forward]
        activations = _activations(images, backbone, source, arm.params, device, budget, precision)

        def labelled(split: str) -> LabelledSamples:
            return LabelledSamples.of(activations[split], self.splits[split], self._classes)

        self.data = ArmData(labelled("train"), labelled("validation"), labelled("test"))

    def with_samples(self, params: Params, indices_N: torch.Tensor) -> "ArmTrainer":
        """The trainer for a subset of the training samples; it shares images and frozen activations.

        Args:
            params: resolved for the number of these samples, with the same `params.arms`.
        """
        some = copy.copy(self)
        some.arm = self.arm.with_params(params, self._source)
        some.tuning = some.arm.tuning.in_precision(self._precisions.training)
        some.data = dataclasses.replace(self.data, train=self.data.train.subset(indices_N))
        some._train_ids = [self._train_ids[index] for index in indices_N.tolist()]
        return some

    def tuned(self, stop: StopSignal) -> tuple[Recipe, list[Trial]]:
        """The recipe to train all seeds with, and the trials that led to it."""
        recipe, seed = self.tuning.start, self.arm.params.arms.seeds[0]
        folder = self._folder_of("search", dataclasses.asdict(recipe), self.tuning.space.ranges, seed)
        return tune(
            self.tuning, self._make_classifier, dataclasses.replace(self.data, test=None),
            seed=seed, fabric=self._fabric, folder=folder, stop=stop,
        )  # fmt: skip

    def train(self, recipe: Recipe, seeds: list[int], stop: StopSignal) -> list[SeedRun]:
        """Trains the seeds and tests each once."""
        logger.info(f"{self.arm.name} arm: {len(seeds)} seed(s) of {recipe.num_epochs:g} epochs")
        folder = self._folder_of(dataclasses.asdict(recipe))
        folder.mkdir(exist_ok=True)
        address = live_tracking_uri(self._project.root) if is_first_process() else None
        with LiveCurves(address, artifact_root(self._project.root)) as live:

            def observe(seed: int) -> AbstractContextManager[TrainingObserver]:
                num_train = len(self.data.train)
                tags = {"graft.arm": self.arm.name, "graft.seed": str(seed), "graft.num_train": str(num_train)}
                name = f"{self.arm.name} seed {seed}, {num_train} samples"
                return live.run(f"{folder.name}/seed_{seed}", name, tags)

            return run_seeds(
                self._make_classifier, self.data, recipe, seeds, self._fabric, folder,
                self._make_watch, self._meter, stop, observe,
            )  # fmt: skip

    def save_kept(self, best: SeedRun) -> None:
        arms, inputs = self.arm.params.arms, self.arm.params.inputs
        source, is_pretrained = self._source, self.arm.name == "transfer"
        config = ModelConfig(
            source=source.name if is_pretrained else BASELINE.starts_from,
            architecture=source.architecture,
            classes=self._classes,
            image_size_px=inputs.image_size_px,
            mean=source.preprocessing.mean,
            std=source.preprocessing.std,
            channel_order=source.preprocessing.channel_order,
            background=self._background,
            views=list(inputs.views),
            dropout=arms.dropout,
            head=arms.head,
            seed=best.seed,
            licence=source.licence if is_pretrained else "",
            weights_sha256=source.weights_sha256 if is_pretrained else "",
        )
        save_classifier(self._project.path(ARMS[self.arm.name].model), best.state, config)
        logger.info(f"kept seed {best.seed}: the lowest validation loss, {best.validation_loss:.4f}")

    def predictions(self, runs: list[SeedRun]) -> pd.DataFrame:
        return predictions_table(runs, self.splits["test"], self._classes)

    def _make_classifier(self, seed: int) -> Classifier:
        arms = self.arm.params.arms
        return seeded_classifier(
            self.arm.make_backbone(seed), len(self._classes),
            dropout=arms.dropout, seed=seed, device=self._fabric.device, head=arms.head,
        )  # fmt: skip

    def _make_watch(self, classifier: Classifier, num_steps: int) -> Watch:
        watch = Watch(self.arm.name, num_steps, len(self._classes))
        expected = self._source.preprocessing
        watch.check_inputs(_first_inputs(self.data.train), classifier, expected.mean, expected.std)
        return watch

    def _folder_of(self, *parts: object) -> Path:
        """Folder named after everything that the results in it depend on.

        Args:
            parts: further dependencies, besides those of all results of this arm.
        """
        key = fingerprint(
            self.arm.name, self._precisions.forward, self.arm.params.inputs.model_dump(),
            self.arm.params.arms.model_dump(exclude=NOT_OF_A_TRAINING),
            self._source.model_dump(), sha256_of_file(self._project.path(MANIFEST)), str(self._fabric.device),
            self._fabric.world_size, results_version(ARMS[self.arm.name].folder), self._train_ids, *parts,
        )  # fmt: skip
        return checkpoints(self._project.root) / f"{self.arm.name}-{key}"


def _first_inputs(samples: LabelledSamples) -> torch.Tensor:
    first = torch.arange(min(NUM_CHECKED, len(samples)))
    return samples.batch(first, torch.zeros_like(first), num_blocks=0)


def _activations(
    images: dict[str, torch.Tensor],
    backbone: Backbone,
    source: Source,
    params: Params,
    device: torch.device,
    budget: CacheBudget,
    precision: torch.dtype,
) -> dict[str, FrozenActivations]:
    """Activations by split, computed once and shared by all seeds.

    Args:
        backbone: must not belong to a classifier that is trained.
        precision: precision of its frozen blocks.
    """
    normalise = Normalise.of(source.preprocessing).to(device)

    def activations(split: str) -> FrozenActivations:
        inputs = ImageInputs(
            images[split],
            list(params.inputs.views),
            normalise,
            device,
            augmentation=params.inputs.augmentation,
            num_augmented=params.inputs.num_augmented_views if split == "train" else 0,
        )
        # the test split is computed in the precision of the exported model
        of_blocks = torch.float32 if split == "test" else precision
        return FrozenActivations(inputs, backbone.blocks, of_blocks, budget, f"frozen blocks, {split}")

    return {split: activations(split) for split in images}


def _precisions(params: Params, backbone: Backbone, recipe: Recipe, device: torch.device) -> Precisions:
    if params.arms.precision != "auto":
        return Precisions(params.arms.precision, params.arms.precision, {})
    deepest = recipe.phases[-1].num_frozen
    side_px, batch_size = params.inputs.image_size_px, params.arms.batch_size
    return measured_precisions(backbone, deepest, side_px, batch_size, device, user_cache())
