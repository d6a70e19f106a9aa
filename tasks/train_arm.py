"""The training of an arm, one way for both."""

import copy
import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import torch
from pydantic import TypeAdapter

from graft.core.artifacts import (
    ARM_FOLDERS,
    MODEL_FOLDERS,
    ArmName,
    ArmResult,
    ModelConfig,
    Selection,
    TrainingFinding,
    hash_inputs,
)  # fmt: skip
from graft.core.config import Params
from graft.core.device import describe_device, pick_device
from graft.core.errors import DivergedError
from graft.core.files import fingerprint, sha256_of_file
from graft.core.paths import artifact_root, checkpoints, costs, live_tracking_uri, user_cache
from graft.core.results_versions import results_version
from graft.core.table_files import write_csv, write_parquet
from graft.data.manifest import class_names, read_manifest, usable_samples
from graft.data.pictures import background_of
from graft.data.splits import SPLITS
from graft.data.transforms import Normalise
from graft.experiment.seeds import (
    SeedRun,
    best_run,
    curves_table,
    has_converged,
    predictions_table,
    run_seeds,
    training_flops,
)  # fmt: skip
from graft.hub.catalogue import Source, chosen_source, load_catalogue
from graft.networks.backbones import Backbone, Classifier, backbone_shape
from graft.networks.heads import make_head
from graft.registry.live import LiveCurves
from graft.serving.served import save_model
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.costs import add_costs
from graft.training.data import ArmData, LabelledSamples, load_images
from graft.training.inputs import ImageInputs
from graft.training.meter import meter_of
from graft.training.observer import TrainingObserver
from graft.training.precision import DTYPES, Precisions, measured_precisions
from graft.training.preemption import Preemption, StopSignal
from graft.training.processes import is_first_process, join_processes
from graft.training.recipe import Recipe
from graft.training.search import Trial
from graft.watch.watch import Watch
from tasks.arms import Arm
from tasks.stage import ARTIFACTS, DATA, SOURCES
from tasks.tuning import in_words, search_table, tune

NUM_CHECKED = 32
"""Pictures that the watch holds against what the source expects."""
NOT_OF_A_TRAINING = {"seeds", "search_s", "search_trials"}
"""Keys of params.arms that change no single training: which seeds there are, and how long settings are searched for."""
RECIPE = TypeAdapter(Recipe)
RANDOM_WEIGHTS = "random weights"
RATES: dict[ArmName, str] = {
    "transfer": "finetune.backbone_learning_rate and finetune.head_learning_rate",
    "scratch": "scratch.learning_rate",
}
"""What to lower where a training diverges."""


class ReadyArm:
    """An arm with its images decoded, and with the activations of its frozen blocks: ready to train any seed."""

    def __init__(
        self, params: Params, source: Source, arm: Arm, manifest: pd.DataFrame, images: dict[str, torch.Tensor]
    ) -> None:
        """
        Args:
            params: settled (tasks/recipe.py).
            images: of each split (`graft.training.data.load_images`).
        """
        self.arm, self.classes, self._background = arm, class_names(manifest), background_of(manifest)
        self.splits = {split: usable_samples(manifest, split) for split in SPLITS}
        self._params, self._source = params, source
        self._train_ids = self.splits["train"]["sample_id"].tolist()
        self.fabric = join_processes(pick_device())
        device = self.fabric.device
        self._meter = meter_of(device)
        backbone = self._make_classifier(params.arms.seeds[0]).backbone
        self._precisions = self.fabric.broadcast(_precisions(params, backbone, arm.tuning.start, device))
        self.tuning = arm.tuning.in_precision(self._precisions.training)
        print(f"{arm.name} arm, on {describe_device(device)}; {self._precisions}", flush=True)
        if device.type != "cpu":
            print("  pictures and activations go to it out of pinned memory, channels last", flush=True)
        kept = checkpoints(Path.cwd())
        kept.mkdir(parents=True, exist_ok=True)
        budget = CacheBudget(1e9 * params.arms.max_cached_activations_gb, kept)
        activations = _activations(images, backbone, source, params, device, budget, DTYPES[self._precisions.forward])

        def labelled(split: str) -> LabelledSamples:
            return LabelledSamples.of(activations[split], self.splits[split], self.classes)

        self.data = ArmData(labelled("train"), labelled("validation"), labelled("test"))

    def with_samples(self, params: Params, arm: Arm, indices_N: torch.Tensor) -> "ReadyArm":
        """For some of the training samples; it shares the images and the activations of frozen blocks.

        Args:
            params: settled for so many samples; `params.arms` is the same.
            arm: of these params, and of the same name.
        """
        some = copy.copy(self)
        some.arm, some.tuning, some._params = arm, arm.tuning.in_precision(self._precisions.training), params
        some.data = dataclasses.replace(self.data, train=self.data.train.subset(indices_N))
        some._train_ids = [self._train_ids[index] for index in indices_N.tolist()]
        return some

    def tuned(self, stop: StopSignal) -> tuple[Recipe, list[Trial]]:
        """The recipe to train all seeds with, and the trials that led to it."""
        recipe, seed = self.tuning.start, self._params.arms.seeds[0]
        folder = self._folder_of("search", dataclasses.asdict(recipe), self.tuning.space.ranges, seed)
        return tune(
            self.tuning, self._make_classifier, dataclasses.replace(self.data, test=None),
            seed=seed, fabric=self.fabric, folder=folder, stop=stop,
        )  # fmt: skip

    def train(self, recipe: Recipe, seeds: list[int], stop: StopSignal) -> list[SeedRun]:
        """Trains the seeds, and tests each once."""
        print(f"{self.arm.name} arm: {len(seeds)} seed(s) of {recipe.num_epochs:g} epochs", flush=True)
        folder = self._folder_of(dataclasses.asdict(recipe))
        folder.mkdir(exist_ok=True)
        address = live_tracking_uri(Path.cwd()) if is_first_process() else None
        with LiveCurves(address, artifact_root(Path.cwd())) as live:

            def observe(seed: int) -> AbstractContextManager[TrainingObserver]:
                num_train = len(self.data.train)
                tags = {"graft.arm": self.arm.name, "graft.seed": str(seed), "graft.num_train": str(num_train)}
                name = f"{self.arm.name} seed {seed}, {num_train} samples"
                return live.run(f"{folder.name}/seed_{seed}", name, tags)

            return run_seeds(
                self._make_classifier, self.data, recipe, seeds, self.fabric, folder,
                self._make_watch, self._meter, stop, observe,
            )  # fmt: skip

    def save_kept(self, best: SeedRun) -> None:
        arms, source, is_pretrained = self._params.arms, self._source, self.arm.name == "transfer"
        config = ModelConfig(
            source=source.name if is_pretrained else RANDOM_WEIGHTS,
            architecture=source.architecture,
            classes=self.classes,
            image_size_px=arms.image_size_px,
            mean=source.preprocessing.mean,
            std=source.preprocessing.std,
            channel_order=source.preprocessing.channel_order,
            background=self._background,
            views=list(arms.views),
            dropout=arms.dropout,
            head=arms.head,
            seed=best.seed,
            licence=source.licence if is_pretrained else "",
            weights_sha256=source.weights_sha256 if is_pretrained else "",
        )
        save_model(ARTIFACTS / MODEL_FOLDERS[self.arm.name], best.state, config)
        print(f"kept seed {best.seed}: the lowest validation loss, {best.validation_loss:.4f}")

    def predictions(self, runs: list[SeedRun]) -> pd.DataFrame:
        return predictions_table(runs, self.splits["test"], self.classes)

    def _make_classifier(self, seed: int) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone = self.arm.make_backbone(seed)
            arms, num_classes = self._params.arms, len(self.classes)
            head = make_head(arms.head, backbone.num_features, num_classes)
            classifier = Classifier(backbone, num_classes, arms.dropout, head=head)
        return classifier.to(self.fabric.device).to(memory_format=torch.channels_last)

    def _make_watch(self, classifier: Classifier, num_steps: int) -> Watch:
        watch = Watch(self.arm.name, num_steps, len(self.classes))
        expected = self._source.preprocessing
        watch.check_inputs(_first_inputs(self.data.train), classifier, expected.mean, expected.std)
        return watch

    def _folder_of(self, *parts: object) -> Path:
        """Named after everything that the results in it depend on.

        Args:
            parts: that, besides what all results of this arm depend on.
        """
        key = fingerprint(
            self.arm.name, self._precisions.forward, self._params.arms.model_dump(exclude=NOT_OF_A_TRAINING),
            self._source.model_dump(), sha256_of_file(ARTIFACTS / "manifest.parquet"), str(self.fabric.device),
            self.fabric.world_size, results_version(ARM_FOLDERS[self.arm.name]), self._train_ids, *parts,
        )  # fmt: skip
        return checkpoints(Path.cwd()) / f"{self.arm.name}-{key}"


def ready_arms(params: Params, source: Source, manifest: pd.DataFrame, *arms: Arm) -> dict[ArmName, ReadyArm]:
    """By name; the images are decoded once for all.

    Args:
        params: settled (tasks/recipe.py).
    """
    images = load_images(DATA, manifest, params.arms.image_size_px)
    return {arm.name: ReadyArm(params, source, arm, manifest, images) for arm in arms}


def run_arm(params: Params, source: Source, arm: Arm, settings: dict[str, str]) -> None:
    """Trains every seed of params, tests it once, and writes result.json, curves.csv, search.csv, predictions.parquet
    and the best seed's model.

    Args:
        params: settled (tasks/recipe.py).
        settings: what the report shows besides those of the recipe.
    Raises:
        DivergedError: no seed has a model that could be kept.
    """
    ready = ready_arms(params, source, read_manifest(ARTIFACTS / "manifest.parquet"), arm)[arm.name]
    with Preemption() as stop:
        recipe, trials = ready.tuned(stop)
        runs = ready.train(recipe, params.arms.seeds, stop)
    kept = kept_run(arm.name, runs)
    if is_first_process():
        folder = ARTIFACTS / ARM_FOLDERS[arm.name]
        _record(folder, params, source, ready, recipe, runs, trials, settings)
        write_csv(folder / "search.csv", search_table(ready.tuning, trials))
        ready.save_kept(kept)
        keep_costs(arm.name, runs)


def kept_run(arm: ArmName, runs: list[SeedRun]) -> SeedRun:
    """The seed whose model is kept, and may ship: the one with the lowest validation loss.

    Raises:
        DivergedError: no seed has a finite one.
    """
    best = best_run(runs)
    if best is None:
        losses = ", ".join(f"{run.validation_loss} (seed {run.seed})" for run in runs)
        raise DivergedError(
            f"every seed of the {arm} arm diverged: validation losses are {losses}. There is no model to keep, and "
            f"nothing to compare. Lower {RATES[arm]}; if that does not help, set arms.precision to float32, and look "
            "at the weights of the samples if your table has any."
        )
    return best


def keep_costs(arm: ArmName, runs: list[SeedRun]) -> None:
    """Outside of what DVC owns. To be called when the arm's predictions are written."""
    add_costs(costs(Path.cwd()), ARTIFACTS, arm, {run.seed: run.cost for run in runs})


def _first_inputs(samples: LabelledSamples) -> torch.Tensor:
    first = torch.arange(min(NUM_CHECKED, len(samples)))
    return samples.batch(first, torch.zeros_like(first), num_blocks=0)


def _record(
    folder: Path,
    params: Params,
    source: Source,
    ready: ReadyArm,
    recipe: Recipe,
    runs: list[SeedRun],
    trials: list[Trial],
    told: dict[str, str],
) -> None:
    """
    Args:
        told: settings that the report shows besides those of the recipe.
    """
    data, splits, name = ready.data, ready.splits, ready.arm.name
    cost = training_flops(
        backbone_shape(source.architecture),
        params.arms.image_size_px,
        recipe.phases,
        num_views=len(params.arms.views) + params.arms.num_augmented_views,
        num_train=len(splits["train"]),
    )
    converged, convergence = has_converged(runs, recipe.num_epochs)
    majority = data.train.labels_N.mode().values.item()
    assert data.test is not None, "an arm is tested"
    result = ArmResult(
        inputs=hash_inputs(ARTIFACTS, "manifest.parquet", "selection.json"),
        arm=name,
        source=source.name if name == "transfer" else RANDOM_WEIGHTS,
        seeds=params.arms.seeds,
        num_train=len(splits["train"]),
        num_validation=len(splits["validation"]),
        num_test=len(splits["test"]),
        validation_accuracy_per_seed=[run.validation_accuracy for run in runs],
        validation_loss_per_seed=[run.validation_loss for run in runs],
        majority_accuracy=(data.test.labels_N == majority).double().mean().item(),
        num_epochs=recipe.num_epochs,
        training_tflops_per_seed=cost / 1e12,
        num_trials=len(trials),
        has_converged=converged,
        convergence=convergence,
        recipe=RECIPE.dump_json(recipe).decode(),
        settings={**told, "search": in_words(trials), **_settings(recipe, params)},
        findings=findings_of(runs),
    )
    result.save(folder / "result.json")
    write_csv(folder / "curves.csv", curves_table(runs, name))
    write_parquet(folder / "predictions.parquet", ready.predictions(runs))


def findings_of(runs: list[SeedRun]) -> list[TrainingFinding]:
    return [TrainingFinding(seed=run.seed, **dataclasses.asdict(finding)) for run in runs for finding in run.findings]


def recipe_of(result: ArmResult) -> Recipe:
    """What the seeds of this arm were trained with, what a search found included."""
    return RECIPE.validate_json(result.recipe)


def read_source() -> Source:
    """The source that select chose."""
    selection = Selection.load_verified(ARTIFACTS, "selection.json")
    return chosen_source(load_catalogue(SOURCES), selection.chosen, selection.chosen_score.weights_sha256)


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
        backbone: of no classifier that is trained.
        precision: of what its frozen blocks compute.
    """
    normalise = Normalise.of(source.preprocessing).to(device)

    def activations(name: str) -> FrozenActivations:
        is_trained_on = name == "train"
        inputs = ImageInputs(
            images[name],
            list(params.arms.views),
            normalise,
            device,
            augmentation=params.arms.augmentation,
            num_augmented=params.arms.num_augmented_views if is_trained_on else 0,
        )
        # the test split is computed as the exported model will be
        of_blocks = torch.float32 if name == "test" else precision
        return FrozenActivations(inputs, backbone.blocks, of_blocks, budget, f"frozen blocks, {name}")

    return {split: activations(split) for split in images}


def _precisions(params: Params, backbone: Backbone, recipe: Recipe, device: torch.device) -> Precisions:
    if params.arms.precision != "auto":
        return Precisions(params.arms.precision, params.arms.precision, {})
    deepest = recipe.phases[-1].num_frozen
    side_px, batch_size = params.arms.image_size_px, params.arms.batch_size
    return measured_precisions(backbone, deepest, side_px, batch_size, device, user_cache())


def _settings(recipe: Recipe, params: Params) -> dict[str, float | int | str]:
    """As the report shows them."""
    phases = [
        f"{phase.num_epochs:g} epochs with {phase.num_frozen} blocks frozen, learning rates "
        f"{phase.backbone_learning_rate:g} and {phase.head_learning_rate:g} (head)"
        for phase in recipe.phases
    ]
    of_inputs = params.arms.model_dump(include={"head", "dropout", "augmentation", "num_augmented_views"})
    settings = dataclasses.asdict(recipe) | {"phases": "; then ".join(phases)} | of_inputs
    return {name: "never" if value is None else value for name, value in settings.items()}
