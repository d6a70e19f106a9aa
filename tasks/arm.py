"""Both arms, one way: finetune and scratch differ in the first weights and the settings, and in nothing else."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

import graft
from graft.artifacts import ArmResult, Selection, hash_inputs
from graft.config import Params
from graft.data.manifest import class_names, read_manifest
from graft.data.transforms import Normalise
from graft.device import forward_precision, pick_device
from graft.files import fingerprint, fingerprint_of_code, sha256_of_file, written_atomically
from graft.hub.backbones import Backbone, Classifier, backbone_shape
from graft.hub.catalogue import Source, chosen_source, load_catalogue
from graft.hub.heads import make_head
from graft.paths import checkpoints
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
from graft.training.inputs import PictureInputs, PretrainedLayers, Room
from graft.training.loop import Labelled
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process, join_processes
from graft.training.recipe import Recipe
from graft.transfer.compare import crossed_interval
from graft.transfer.predictions import correct_SN
from tasks.stage import ARTIFACTS, DATA, SOURCES
from tasks.tuning import Tuning, in_words, search_table, tune


@dataclass(frozen=True)
class Arm:
    name: Literal["transfer", "scratch"]
    make_backbone: Callable[[int], Backbone]
    """From a seed; called once a seed."""
    tuning: Tuning
    """With the recipe that params.yaml has."""


def run_arm(params: Params, source: Source, arm: Arm) -> tuple[ArmResult, list[SeedRun]]:
    """Trains every seed, tests it once, and writes result.json, curves.csv, search.csv and predictions.parquet."""
    folder = ARTIFACTS / ("finetune" if arm.name == "transfer" else "scratch")
    manifest_path = ARTIFACTS / "manifest.parquet"
    manifest = read_manifest(manifest_path)
    classes = class_names(manifest)
    fabric = join_processes(pick_device())
    recipe = arm.tuning.space.recipe_of(arm.tuning.space.start)

    def make_classifier(seed: int) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone = arm.make_backbone(seed)
            head = make_head(params.arms.head, backbone.num_features, len(classes))
            classifier = Classifier(backbone, len(classes), params.arms.dropout, head=head)
        return classifier.to(fabric.device).to(memory_format=torch.channels_last)

    splits = load_splits(DATA, manifest, params.arms.image_size_px)
    cost = training_flops(
        backbone_shape(source.architecture),
        params.arms.image_size_px,
        recipe.phases,
        num_views=len(params.arms.views) + params.arms.num_augmented_views,
        num_train=len(splits["train"].samples),
    )
    print(
        f"{arm.name} arm on {fabric.device}: {len(params.arms.seeds)} seeds of {recipe.num_epochs:g} epochs",
        flush=True,
    )
    kept = checkpoints(Path.cwd())

    def folder_of(*parts: object) -> Path:
        """
        Args:
            parts: what the results in it depend on, besides what all of this arm's do.
        """
        key = fingerprint(
            arm.name, params.arms.model_dump(exclude={"seeds"}), source.model_dump(), sha256_of_file(manifest_path),
            str(fabric.device), fabric.world_size, fingerprint_of_code(Path(graft.__file__).parent), *parts,
        )  # fmt: skip
        return kept / f"{arm.name}-{key}"

    first_seed, recipe_of_params = params.arms.seeds[0], dataclasses.asdict(recipe)
    kept.mkdir(parents=True, exist_ok=True)
    room = Room(1e9 * params.arms.max_cached_activations_gb, kept)
    data = _split_data(splits, make_classifier(first_seed).backbone, source, params, fabric.device, room)
    with Preemption() as stop:
        recipe, trials = tune(
            arm.tuning, make_classifier, data.train, data.validation, seed=first_seed, fabric=fabric,
            folder=folder_of("search", recipe_of_params, arm.tuning.space.ranges, first_seed), stop=stop,
        )  # fmt: skip
        checkpoint_dir = folder_of(dataclasses.asdict(recipe))
        checkpoint_dir.mkdir(exist_ok=True)
        runs = run_seeds(make_classifier, data, recipe, params.arms.seeds, fabric, checkpoint_dir, stop)

    test = splits["test"]
    predictions = predictions_table(runs, test.samples, classes)
    correct = correct_SN(predictions).loc[params.arms.seeds].to_numpy()
    converged, convergence = has_converged(runs, recipe.num_epochs)
    majority = splits["train"].labels_N.mode().values.item()
    result = ArmResult(
        inputs=hash_inputs(ARTIFACTS, "manifest.parquet", "selection.json"),
        arm=arm.name,
        source=source.name if arm.name == "transfer" else "random weights",
        seeds=params.arms.seeds,
        num_train=len(splits["train"].samples),
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
        settings=_settings(recipe, params) | {"search": in_words(trials)},
    )
    if is_first_process():
        result.save(folder / "result.json")
        curves_table(runs, arm.name).to_csv(folder / "curves.csv", index=False)
        search_table(arm.tuning, trials).to_csv(folder / "search.csv", index=False)
        with written_atomically(folder / "predictions.parquet") as temporary:
            predictions.to_parquet(temporary, index=False)
    interval = result.test_accuracy
    print(f"test accuracy {interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}], n = {result.num_test}")
    return result, runs


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
) -> SplitData:
    """What frozen blocks make of the pictures is the same for every seed.

    Args:
        backbone: of no classifier that is trained.
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
        precision = torch.float32 if name == "test" else forward_precision(device)
        return PretrainedLayers(pictures, backbone.blocks, precision, room, f"frozen blocks, {name}")

    def labelled(name: str) -> Labelled:
        return Labelled(layers(name), splits[name].labels_N, splits[name].weights_N)

    return SplitData(labelled("train"), labelled("validation"), layers("test"))


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
