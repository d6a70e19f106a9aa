"""Both arms, one way: finetune and scratch differ in the first weights and the settings, and in nothing else."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric

import graft
from graft.artifacts import ArmResult, Selection, TrainingFinding, hash_inputs
from graft.config import Params
from graft.data.manifest import class_names, read_manifest
from graft.data.transforms import Normalise
from graft.device import describe_device, pick_device
from graft.files import fingerprint, fingerprint_of_code, sha256_of_file, written_atomically
from graft.hub.backbones import Backbone, Classifier, backbone_shape
from graft.hub.catalogue import Source, chosen_source, load_catalogue
from graft.hub.heads import make_head
from graft.paths import checkpoints, user_cache
from graft.training.arms import (
    SeedRun,
    SplitData,
    curves_table,
    has_converged,
    predictions_table,
    run_seeds,
    training_flops,
)  # fmt: skip
from graft.training.data import SplitPictures, load_splits
from graft.training.inputs import LayeredInputs, PictureInputs, PretrainedLayers, Room
from graft.training.loop import Labelled
from graft.training.precision import DTYPES, Precisions, measured_precisions
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process, join_processes
from graft.training.recipe import Recipe
from graft.transfer.compare import crossed_interval
from graft.transfer.predictions import correct_SN
from graft.watch.watch import Watch
from tasks.stage import ARTIFACTS, DATA, SOURCES
from tasks.tuning import Tuning, in_words, search_table, tune

NUM_CHECKED = 32
"""Pictures that the watch holds against what the source expects."""


@dataclass(frozen=True)
class Arm:
    name: Literal["transfer", "scratch"]
    make_backbone: Callable[[int], Backbone]
    """From a seed; called once a seed."""
    tuning: Tuning
    """With the recipe that params.yaml has."""
    settings: dict[str, str] = field(default_factory=dict)
    """What the report shows besides those of the recipe."""


def run_arm(params: Params, source: Source, arm: Arm) -> list[SeedRun]:
    """Trains every seed, tests it once, and writes result.json, curves.csv, search.csv and predictions.parquet.

    Args:
        params: settled (tasks/recipe.py).
    """
    manifest = read_manifest(ARTIFACTS / "manifest.parquet")
    num_classes = len(class_names(manifest))
    fabric = join_processes(pick_device())

    def make_classifier(seed: int) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone = arm.make_backbone(seed)
            head = make_head(params.arms.head, backbone.num_features, num_classes)
            classifier = Classifier(backbone, num_classes, params.arms.dropout, head=head)
        return classifier.to(fabric.device).to(memory_format=torch.channels_last)

    splits = load_splits(DATA, manifest, params.arms.image_size_px)
    backbone = make_classifier(params.arms.seeds[0]).backbone
    recipe = arm.tuning.space.recipe_of(arm.tuning.space.start)
    precisions = fabric.broadcast(_precisions(params, backbone, recipe, fabric.device))
    tuning = arm.tuning.in_precision(precisions.training)
    recipe = tuning.space.recipe_of(tuning.space.start)
    print(f"{arm.name} arm: {len(params.arms.seeds)} seeds of {recipe.num_epochs:g} epochs", flush=True)
    print(f"  on {describe_device(fabric.device)}; {precisions}", flush=True)
    if fabric.device.type != "cpu":
        print("  pictures and activations go to it out of pinned memory, channels last", flush=True)
    kept = checkpoints(Path.cwd())
    kept.mkdir(parents=True, exist_ok=True)
    room = Room(1e9 * params.arms.max_cached_activations_gb, kept)
    data = _split_data(splits, backbone, source, params, fabric.device, room, DTYPES[precisions.forward])

    def folder_of(*parts: object) -> Path:
        return _folder_of(params, source, arm.name, precisions, fabric, *parts)

    def make_watch(classifier: Classifier, num_steps: int) -> Watch:
        watch = Watch(arm.name, num_steps, num_classes)
        expected = source.preprocessing
        watch.check_inputs(_first_pictures(data.train.layers), classifier, expected.mean, expected.std)
        return watch

    with Preemption() as stop:
        first_seed = params.arms.seeds[0]
        recipe, trials = tune(
            tuning, make_classifier, data.train, data.validation, seed=first_seed, fabric=fabric,
            folder=folder_of("search", dataclasses.asdict(recipe), tuning.space.ranges, first_seed), stop=stop,
        )  # fmt: skip
        checkpoint_dir = folder_of(dataclasses.asdict(recipe))
        checkpoint_dir.mkdir(exist_ok=True)
        runs = run_seeds(make_classifier, data, recipe, params.arms.seeds, fabric, checkpoint_dir, make_watch, stop)
    if is_first_process():
        folder = ARTIFACTS / ("finetune" if arm.name == "transfer" else "scratch")
        told = arm.settings | {"search": in_words(trials)}
        _record(folder, params, source, arm.name, recipe, runs, splits, class_names(manifest), told)
        search_table(tuning, trials).to_csv(folder / "search.csv", index=False)
    return runs


def _first_pictures(layers: LayeredInputs) -> torch.Tensor:
    first = torch.arange(min(NUM_CHECKED, layers.num_samples))
    return layers.at(0).batch(first, torch.zeros_like(first))


def _folder_of(
    params: Params, source: Source, arm: str, precisions: Precisions, fabric: Fabric, *parts: object
) -> Path:
    """Named after everything that the results in it depend on.

    Args:
        parts: that, besides what all results of this arm depend on.
    """
    key = fingerprint(
        arm, precisions.forward, params.arms.model_dump(exclude={"seeds"}), source.model_dump(),
        sha256_of_file(ARTIFACTS / "manifest.parquet"), str(fabric.device), fabric.world_size,
        fingerprint_of_code(Path(graft.__file__).parent), *parts,
    )  # fmt: skip
    return checkpoints(Path.cwd()) / f"{arm}-{key}"


def _record(
    folder: Path,
    params: Params,
    source: Source,
    arm: Literal["transfer", "scratch"],
    recipe: Recipe,
    runs: list[SeedRun],
    splits: dict[str, SplitPictures],
    classes: list[str],
    told: dict[str, str],
) -> None:
    """
    Args:
        told: settings that the report shows besides those of the recipe.
    """
    train, test = splits["train"], splits["test"]
    cost = training_flops(
        backbone_shape(source.architecture),
        params.arms.image_size_px,
        recipe.phases,
        num_views=len(params.arms.views) + params.arms.num_augmented_views,
        num_train=len(train.samples),
    )
    predictions = predictions_table(runs, test.samples, classes)
    correct = correct_SN(predictions).loc[params.arms.seeds].to_numpy()
    converged, convergence = has_converged(runs, recipe.num_epochs)
    majority = train.labels_N.mode().values.item()
    result = ArmResult(
        inputs=hash_inputs(ARTIFACTS, "manifest.parquet", "selection.json"),
        arm=arm,
        source=source.name if arm == "transfer" else "random weights",
        seeds=params.arms.seeds,
        num_train=len(train.samples),
        num_validation=len(splits["validation"].samples),
        num_test=len(test.samples),
        test_accuracy=crossed_interval(correct, alpha=params.check_transfer.alpha),
        test_accuracy_per_seed=correct.mean(axis=1).tolist(),
        validation_accuracy_per_seed=[run.validation_accuracy for run in runs],
        majority_accuracy=(test.labels_N == majority).double().mean().item(),
        num_epochs=recipe.num_epochs,
        training_tflops_per_seed=cost / 1e12,
        has_converged=converged,
        convergence=convergence,
        settings={**told, **_settings(recipe, params)},
        findings=[
            TrainingFinding(seed=run.seed, **dataclasses.asdict(finding)) for run in runs for finding in run.findings
        ],
    )
    result.save(folder / "result.json")
    curves_table(runs, arm).to_csv(folder / "curves.csv", index=False)
    with written_atomically(folder / "predictions.parquet") as temporary:
        predictions.to_parquet(temporary, index=False)
    interval = result.test_accuracy
    print(f"test accuracy {interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}], n = {result.num_test}")


def read_source() -> Source:
    """The source that select chose."""
    selection = Selection.load_verified(ARTIFACTS, "selection.json")
    return chosen_source(load_catalogue(SOURCES), selection.chosen, selection.chosen_score.weights_sha256)


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
            list(params.arms.views),
            normalise,
            device,
            augmentation=params.arms.augmentation,
            num_augmented=params.arms.num_augmented_views if is_trained_on else 0,
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
