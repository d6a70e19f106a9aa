"""The choice of the source: every candidate is tried on a project's training samples."""

import functools
import logging
from collections.abc import Collection

import numpy as np
import pandas as pd

from graft.core.artifacts import MANIFEST, SELECTION_SCORES
from graft.core.config import Params
from graft.core.device import pick_device
from graft.core.errors import CatalogueError, DataError
from graft.core.files import sha256_of_file
from graft.core.table_files import write_csv
from graft.data.images import background_of, load_images
from graft.data.manifest import class_names, usable_samples
from graft.data.units import sampling_units
from graft.experiment.recipes import finetune_recipe
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.fetch import pinned
from graft.hub.source_lookup import pick_sources
from graft.networks.backbones import require_blocks, require_side
from graft.project import Project
from graft.selection.budget import TimeBudget
from graft.selection.choice import ChoiceSettings, SourceEvaluation, Target, choose_source
from graft.selection.result import Selection, SourceScore, TrialResult
from graft.selection.subsample import subsample
from graft.statistics.intervals import bounded_interval, mean_interval, resampled_interval
from graft.training.processes import join_processes
from graft.transfer.rejected import RejectedSources
from graft.validation.result import Validation

logger = logging.getLogger(__name__)


def select_source(project: Project) -> None:
    """Tries every candidate, and writes the ranking and the choice.

    Raises:
        CatalogueError: a candidate is unknown or does not fit the images, or all are rejected.
        DataError: the training samples are of one group.
    """
    params = project.params
    side_px = params.inputs.image_size_px
    candidates = pick_sources(load_catalogue(project.sources_file), params.select.candidates, params.inputs.modality)
    for source in candidates:  # checked before anything is fetched: `dvc repro` has no preflight
        require_blocks(source.architecture, params.finetune.num_trained_blocks)
        require_side(source.architecture, side_px)
    sources, rejected = _without_rejected(project, [pinned(source) for source in candidates])
    project.load(Validation)
    manifest = project.manifest
    train = usable_samples(manifest, "train")
    samples = subsample(train, params.select.max_samples, params.select.num_folds, units_N=sampling_units(train))
    units_N = sampling_units(samples)
    _require_two_units(units_N)
    budget = TimeBudget(params.select.budget_s)
    background = background_of(manifest)
    # loaded once: every source is tried on the same images
    images_NCHW = load_images(project.data, samples, side_px, background=background)
    target = Target(
        sample_ids=list(samples["sample_id"]),
        labels_N=samples["label"].map(class_names(manifest).index).to_numpy(),
        load=lambda positions: images_NCHW[positions],
        side_px=side_px,
        groups_N=units_N,
        background=background,
    )
    settings = choice_settings(project.resolved_params, rejected)
    choice = choose_source(sources, target, settings, budget, join_processes(pick_device()))
    selection = Selection(
        inputs=project.hashes(MANIFEST, Validation.NAME),
        chosen=choice.winner.name,
        runner_up=choice.winner.runner_up,
        lead=choice.winner.lead,
        confidence=params.select.confidence,
        is_separated=choice.winner.is_separated,
        reason=choice.winner.reason,
        image_size_px=side_px,
        num_samples=len(samples),
        num_units=len(np.unique(units_N)),
        num_folds=choice.num_folds,
        num_repeats=params.select.num_repeats,
        out_of_time=choice.out_of_time,
        ranking=[_score(evaluation, choice.num_folds) for evaluation in choice.ranked()],
        excluded=rejected | choice.excluded,
    )
    project.save(selection)
    write_csv(project.path(SELECTION_SCORES), _scores_table(selection))
    tflops = sum(score.tflops_spent for score in selection.ranking)
    logger.info(f"{selection.chosen}: {selection.reason}")
    logger.info(f"chosen in {budget.spent_s:.0f} s of {budget.seconds:.0f} s; {tflops:.1f} TFLOPs")


def _require_two_units(units_N: np.ndarray) -> None:
    """
    Raises:
        DataError: all samples are of one group.
    """
    if len(np.unique(units_N)) < 2:
        raise DataError(
            f"all {len(units_N)} training samples are of one group ({units_N[0]}), so no source can be tested on "
            "samples other than those it was trained on. Define smaller groups in the table of the data, or add "
            "samples of other groups."
        )


def _without_rejected(project: Project, candidates: list[Source]) -> tuple[list[Source], dict[str, str]]:
    """The candidates without a negative verdict on these data, and name -> claim of the verdict for the others."""
    claims = project.kept(RejectedSources).on(sha256_of_file(project.path(MANIFEST)))
    rejected = {source.name: claims[source.weights_sha256] for source in candidates if source.weights_sha256 in claims}
    for name, claim in rejected.items():
        logger.info(f"{name} is excluded: {claim}")
    left = [source for source in candidates if source.name not in rejected]
    if not left:
        raise CatalogueError(
            f"every candidate is rejected on these data ({', '.join(rejected)}). Name others in select.candidates, or "
            f"remove them from {project.path_of(RejectedSources)} to try them again."
        )
    return left, rejected


def choice_settings(params: Params, rejected: Collection[str] = ()) -> ChoiceSettings:
    """
    Args:
        params: without `auto`.
        rejected: names of candidates that may not be chosen.
    """
    settings = params.select.model_dump(exclude={"candidates", "max_samples", "budget_s"})
    if settings["default"] in rejected:
        settings["default"] = None
    return ChoiceSettings(
        **settings,
        recipe_of=functools.partial(finetune_recipe, params),
        dropout=params.arms.dropout,
        max_cached_bytes=1e9 * params.arms.max_cached_activations_gb,
    )


def _score(evaluation: SourceEvaluation, num_folds: int) -> SourceScore:
    source = evaluation.source
    return SourceScore(
        **source.model_dump(include={"name", "description", "licence", "num_parameters"}),
        domain=source.trained_on.domain,
        dataset=source.trained_on.dataset,
        weights_sha256=source.weights_sha256,
        gflops=evaluation.gflops,
        probe=resampled_interval(evaluation.probed.probe_F, num_folds=num_folds),
        knn_accuracy=evaluation.probed.knn_accuracy,
        scores=evaluation.scores,
        distance=evaluation.distance,
        trial=_trial(evaluation),
        tflops_spent=evaluation.tflops_spent,
        dropped=evaluation.dropped,
    )


def _trial(evaluation: SourceEvaluation) -> TrialResult | None:
    if evaluation.trial is None:
        return None
    return TrialResult(
        num_steps=evaluation.trial.num_steps,
        num_held_out=len(evaluation.trial.losses_M),
        loss=mean_interval(evaluation.trial.losses_M, evaluation.trial.groups_M, confidence=0.95),
        accuracy=bounded_interval(
            evaluation.trial.is_correct_M.astype(float), evaluation.trial.groups_M, bounds=(0, 1), confidence=0.95
        ),
    )


def _scores_table(selection: Selection) -> pd.DataFrame:
    rows = [
        {"source": score.name, "domain": score.domain, **score.probe.model_dump(), "knn": score.knn_accuracy}
        | score.scores
        for score in selection.ranking
    ]
    return pd.DataFrame(rows).round(6)
