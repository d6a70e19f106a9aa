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
from graft.training.inputs import ActivationInputs, Inputs, PictureInputs, frozen_output_bytes
from graft.training.loop import EVALUATION_BATCH_SIZE, Labelled, Recipe
from graft.transfer.compare import crossed_interval
from graft.transfer.predictions import correct_SN
from tasks.stage import ARTIFACTS, DATA, SOURCES


@dataclass(frozen=True)
class Arm:
    name: Literal["transfer", "scratch"]
    make_backbone: Callable[[int], Backbone]
    """From a seed; called once a seed."""
    num_frozen: int
    recipe: Recipe


def run_arm(params: Params, source: Source, arm: Arm) -> tuple[ArmResult, list[SeedRun]]:
    """Trains every seed, tests it once, and writes result.json, curves.csv and predictions.parquet."""
    folder = ARTIFACTS / ("finetune" if arm.name == "transfer" else "scratch")
    manifest_path = ARTIFACTS / "manifest.parquet"
    manifest = read_manifest(manifest_path)
    classes = class_names(manifest)
    device = pick_device()

    def make_classifier(seed: int) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            classifier = Classifier(arm.make_backbone(seed), len(classes), params.arms.dropout, arm.num_frozen)
        return classifier.to(device).to(memory_format=torch.channels_last)

    splits = load_splits(DATA, manifest, params.arms.image_size_px)
    cost = training_flops(
        backbone_shape(source.architecture),
        params.arms.image_size_px,
        num_frozen=arm.num_frozen,
        num_views=len(params.arms.views),
        num_train=len(splits["train"].samples),
        num_epochs=arm.recipe.num_epochs,
    )
    print(f"{arm.name} arm on {device}: {len(params.arms.seeds)} seeds of {arm.recipe.num_epochs:g} epochs", flush=True)
    key = fingerprint(
        arm.name, arm.num_frozen, dataclasses.asdict(arm.recipe), params.arms.model_dump(exclude={"seeds"}),
        source.model_dump(), sha256_of_file(manifest_path), str(device),
        fingerprint_of_code(Path(graft.__file__).parent),
    )  # fmt: skip
    data = _split_data(splits, make_classifier(params.arms.seeds[0]), source, params, device)
    runs = run_seeds(
        make_classifier, data, arm.recipe, params.arms.seeds, checkpoints(Path.cwd()) / f"{arm.name}-{key}"
    )

    test = splits["test"]
    predictions = predictions_table(runs, test.samples, classes)
    correct = correct_SN(predictions).loc[params.arms.seeds].to_numpy()
    converged, convergence = has_converged(runs, arm.recipe.num_epochs)
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
        num_epochs=arm.recipe.num_epochs,
        training_tflops_per_seed=cost / 1e12,
        has_converged=converged,
        convergence=convergence,
        settings={**dataclasses.asdict(arm.recipe), "num_frozen_blocks": arm.num_frozen},
    )
    result.save(folder / "result.json")
    curves_table(runs, arm.name).to_csv(folder / "curves.csv", index=False)
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
    splits: dict[str, SplitPictures], classifier: Classifier, source: Source, params: Params, device: torch.device
) -> SplitData:
    """Frozen blocks are the same for every seed: what they make of the pictures is computed once, if it fits."""
    normalise = Normalise.of(source.preprocessing).to(device)
    views = list(params.arms.views)
    num_samples = sum(len(split.samples) for split in splits.values())
    needed_bytes = frozen_output_bytes(classifier, params.arms.image_size_px, num_samples, len(views))
    is_cached = classifier.num_frozen > 0 and needed_bytes <= 1e9 * params.arms.max_cached_activations_gb
    if classifier.num_frozen > 0 and not is_cached:
        print(f"  frozen blocks are computed in every step: caching them takes {needed_bytes / 1e9:.1f} GB", flush=True)

    def inputs_of(name: str) -> Inputs:
        # the test split is computed as the exported model will be
        precision = torch.float32 if name == "test" else forward_precision(device)
        pictures = PictureInputs(splits[name].pictures_NCHW, views, normalise, classifier.prefix, device, precision)
        return ActivationInputs(pictures, EVALUATION_BATCH_SIZE, f"frozen blocks, {name}") if is_cached else pictures

    def labelled(name: str) -> Labelled:
        return Labelled(inputs_of(name), splits[name].labels_N, splits[name].weights_N)

    return SplitData(labelled("train"), labelled("validation"), inputs_of("test"))
