"""The training of an arm, one way for both."""

import copy
import dataclasses
from pathlib import Path

import pandas as pd
import torch

from graft.core.arms import ARMS, BASELINE
from graft.core.artifacts import MANIFEST
from graft.core.config import Params
from graft.core.device import describe_device, pick_device
from graft.core.files import fingerprint, sha256_of_file
from graft.core.paths import checkpoints, user_cache
from graft.core.results_versions import results_version
from graft.experiment.arms import Arm
from graft.experiment.search_spaces import tune
from graft.experiment.seeds import SeedRun, SplitData, predictions_table, run_seeds
from graft.hub.catalogue import Source
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import Backbone, Classifier
from graft.networks.heads import make_head
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.serving.served import save_model
from graft.training.data import SplitPictures
from graft.training.inputs import LayeredInputs, PictureInputs, PretrainedLayers, Room
from graft.training.loop import Labelled
from graft.training.meter import meter_of
from graft.training.precision import DTYPES, Precisions, measured_precisions
from graft.training.preemption import StopSignal
from graft.training.processes import join_processes
from graft.training.recipe import Recipe
from graft.training.search import Trial
from graft.watch.watch import Watch

NUM_CHECKED = 32
"""Pictures that the watch holds against what the source expects."""
NOT_OF_A_TRAINING = {"seeds", "search_s", "search_trials"}
"""Keys of params.arms that change no single training: which seeds there are, and how long settings are searched for."""


class ArmTrainer:
    """An arm with its images decoded and its frozen activations computed: ready to train any seed."""

    def __init__(
        self,
        project: Project,
        arm: Arm,
        source: Source,
        splits: dict[str, SplitPictures],
        classes: list[str],
        background: str,
    ) -> None:
        """
        Args:
            background: colour that transparent parts of the images were laid on.
        """
        self.arm, self.splits = arm, splits
        self._project, self._source, self._classes, self._background = project, source, classes, background
        self._train_ids = splits["train"].samples["sample_id"].tolist()
        self._fabric = join_processes(pick_device())
        device = self._fabric.device
        self._meter = meter_of(device)
        backbone = self._make_classifier(arm.params.arms.seeds[0]).backbone
        self._precisions = self._fabric.broadcast(_precisions(arm.params, backbone, arm.tuning.start, device))
        self.tuning = arm.tuning.in_precision(self._precisions.training)
        print(f"{arm.name} arm, on {describe_device(device)}; {self._precisions}", flush=True)
        if device.type != "cpu":
            print("  images and activations go to it out of pinned memory, channels last", flush=True)
        kept = checkpoints(project.root)
        kept.mkdir(parents=True, exist_ok=True)
        room = Room(1e9 * arm.params.arms.max_cached_activations_gb, kept)
        self._data = _split_data(splits, backbone, source, arm.params, device, room, DTYPES[self._precisions.forward])

    def with_samples(self, params: Params, indices_N: torch.Tensor) -> "ArmTrainer":
        """The trainer for some of the training samples; it shares images and frozen activations.

        Args:
            params: resolved for so many samples; `params.arms` is the same.
        """
        some = copy.copy(self)
        some.arm = self.arm.with_params(params, self._source)
        some.tuning = some.arm.tuning.in_precision(self._precisions.training)
        some._data = dataclasses.replace(self._data, train=self._data.train.at(indices_N))
        some._train_ids = [self._train_ids[index] for index in indices_N.tolist()]
        return some

    def tuned(self, stop: StopSignal) -> tuple[Recipe, list[Trial]]:
        """The recipe to train all seeds with, and the trials that led to it."""
        recipe, seed = self.tuning.start, self.arm.params.arms.seeds[0]
        folder = self._folder_of("search", dataclasses.asdict(recipe), self.tuning.space.ranges, seed)
        return tune(
            self.tuning, self._make_classifier, self._data.train, self._data.validation,
            seed=seed, fabric=self._fabric, folder=folder, stop=stop,
        )  # fmt: skip

    def train(self, recipe: Recipe, seeds: list[int], stop: StopSignal) -> list[SeedRun]:
        """Trains the seeds, and tests each once."""
        print(f"{self.arm.name} arm: {len(seeds)} seed(s) of {recipe.num_epochs:g} epochs", flush=True)
        folder = self._folder_of(dataclasses.asdict(recipe))
        folder.mkdir(exist_ok=True)
        return run_seeds(
            self._make_classifier, self._data, recipe, seeds, self._fabric, folder, self._make_watch, self._meter, stop
        )

    def save_kept(self, best: SeedRun) -> None:
        arms, source, is_pretrained = self.arm.params.arms, self._source, self.arm.name == "transfer"
        config = ModelConfig(
            source=source.name if is_pretrained else BASELINE.starts_from,
            architecture=source.architecture,
            classes=self._classes,
            image_size_px=self.arm.params.inputs.image_size_px,
            mean=source.preprocessing.mean,
            std=source.preprocessing.std,
            channel_order=source.preprocessing.channel_order,
            background=self._background,
            views=list(self.arm.params.inputs.views),
            dropout=arms.dropout,
            head=arms.head,
            seed=best.seed,
            licence=source.licence if is_pretrained else "",
            weights_sha256=source.weights_sha256 if is_pretrained else "",
        )
        save_model(self._project.path(ARMS[self.arm.name].model), best.state, config)
        print(f"kept seed {best.seed}: the lowest validation loss, {best.validation_loss:.4f}")

    def predictions(self, runs: list[SeedRun]) -> pd.DataFrame:
        return predictions_table(runs, self.splits["test"].samples, self._classes)

    def _make_classifier(self, seed: int) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone = self.arm.make_backbone(seed)
            arms, num_classes = self.arm.params.arms, len(self._classes)
            head = make_head(arms.head, backbone.num_features, num_classes)
            classifier = Classifier(backbone, num_classes, arms.dropout, head=head)
        return classifier.to(self._fabric.device).to(memory_format=torch.channels_last)

    def _make_watch(self, classifier: Classifier, num_steps: int) -> Watch:
        watch = Watch(self.arm.name, num_steps, len(self._classes))
        expected = self._source.preprocessing
        watch.check_inputs(_first_pictures(self._data.train.layers), classifier, expected.mean, expected.std)
        return watch

    def _folder_of(self, *parts: object) -> Path:
        """Named after everything that the results in it depend on.

        Args:
            parts: that, besides what all results of this arm depend on.
        """
        key = fingerprint(
            self.arm.name, self._precisions.forward, self.arm.params.inputs.model_dump(),
            self.arm.params.arms.model_dump(exclude=NOT_OF_A_TRAINING),
            self._source.model_dump(), sha256_of_file(self._project.path(MANIFEST)), str(self._fabric.device),
            self._fabric.world_size, results_version(ARMS[self.arm.name].folder), self._train_ids, *parts,
        )  # fmt: skip
        return checkpoints(self._project.root) / f"{self.arm.name}-{key}"


def _first_pictures(layers: LayeredInputs) -> torch.Tensor:
    first = torch.arange(min(NUM_CHECKED, layers.num_samples))
    return layers.at(0).batch(first, torch.zeros_like(first))


def _split_data(
    splits: dict[str, SplitPictures],
    backbone: Backbone,
    source: Source,
    params: Params,
    device: torch.device,
    room: Room,
    precision: torch.dtype,
) -> SplitData:
    """What frozen blocks make of the pictures is the same for every seed.

    Args:
        backbone: of no classifier that is trained.
        precision: of what its frozen blocks compute.
    """
    normalise = Normalise.of(source.preprocessing).to(device)

    def layers(name: str) -> PretrainedLayers:
        is_trained_on = name == "train"
        pictures = PictureInputs(
            splits[name].pictures_NCHW,
            list(params.inputs.views),
            normalise,
            device,
            augmentation=params.inputs.augmentation,
            num_augmented=params.inputs.num_augmented_views if is_trained_on else 0,
        )
        # the test split is computed as the exported model will be
        of_blocks = torch.float32 if name == "test" else precision
        return PretrainedLayers(pictures, backbone.blocks, of_blocks, room, f"frozen blocks, {name}")

    def labelled(name: str) -> Labelled:
        return Labelled(layers(name), splits[name].labels_N, splits[name].weights_N)

    return SplitData(labelled("train"), labelled("validation"), layers("test"))


def _precisions(params: Params, backbone: Backbone, recipe: Recipe, device: torch.device) -> Precisions:
    if params.arms.precision != "auto":
        return Precisions(params.arms.precision, params.arms.precision, {})
    deepest = recipe.phases[-1].num_frozen
    side_px, batch_size = params.inputs.image_size_px, params.arms.batch_size
    return measured_precisions(backbone, deepest, side_px, batch_size, device, user_cache())
