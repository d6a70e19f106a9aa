"""The evidence for a verdict: both arms' predictions over the same seeds and test items.

Pairs of seeds are added until the verdict is decided, or until more would not help.
"""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from graft.core.arms import ARMS, ArmName
from graft.core.artifacts import MANIFEST
from graft.data.manifest import read_manifest
from graft.experiment.further_pairs import FurtherPairs
from graft.experiment.result import ArmResult
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.transfer.interim_analyses import InterimAnalysis, interim_analysis, num_first_pairs
from graft.transfer.predictions import guessing_of, paired_correct, units_of

logger = logging.getLogger(__name__)

Predictions = dict[ArmName, pd.DataFrame]
MANIFEST_COLUMNS = ["sample_id", "path", "label", "group", "domain", "duplicate_of", "split", "status"]


@dataclass(frozen=True)
class Evidence:
    seeds: list[int]
    predictions: Predictions
    """Predictions of all seeds."""
    pairs: tuple[np.ndarray, np.ndarray]
    """Correct predictions of each arm, [S, N]."""
    manifest: pd.DataFrame
    """Columns of the manifest that a verdict depends on."""
    units_N: np.ndarray
    """The independent unit of each test item."""
    shipped: dict[ArmName, int]
    """Seed of the model that each arm would export."""
    last: InterimAnalysis
    further: FurtherPairs


def gather_evidence(
    project: Project, results: dict[ArmName, ArmResult], of_stages: Predictions, alpha: float
) -> Evidence:
    """Analyses the pairs of both stages, and trains further pairs until the verdict is decided.

    Args:
        of_stages: predictions of each arm's stage.
        alpha: level of the verdict, over all interim analyses together.
    """
    check = project.params.check_transfer
    seeds = sorted(project.params.arms.seeds)  # the order of the rows
    further = FurtherPairs(project, results)
    manifest = read_manifest(project.path(MANIFEST), columns=MANIFEST_COLUMNS)
    units_N, guessing_N = units_of(of_stages["transfer"], manifest), guessing_of(of_stages["transfer"], manifest)
    shipped = {arm: project.load(ModelConfig, files.model).seed for arm, files in ARMS.items()}
    num_first = num_first_pairs(len(seeds), check.max_seeds)
    while len(seeds) < num_first:
        _add_pair(seeds, further)
    while True:
        predictions = {arm: joined(table, further.predictions(arm)) for arm, table in of_stages.items()}
        pairs = paired_correct(predictions["transfer"], predictions["baseline"])
        last = interim_analysis(
            *pairs,
            num_first=num_first,
            max_seeds=check.max_seeds,
            margin_points=check.margin_points,
            alpha=alpha,
            groups_N=units_N,
            shipped=(seeds.index(shipped["transfer"]), seeds.index(shipped["baseline"])),
            guessing_N=guessing_N,
        )
        if not last.goes_on:
            return Evidence(seeds, predictions, pairs, manifest, units_N, shipped, last, further)
        gain = last.comparison.gain_points.in_points
        logger.info(f"{len(seeds)} pairs of seeds: {gain}; not decisive, training another pair")
        _add_pair(seeds, further)


def joined(of_stage: pd.DataFrame, further: pd.DataFrame | None) -> pd.DataFrame:
    return of_stage if further is None else pd.concat([of_stage, further], ignore_index=True)


def _add_pair(seeds: list[int], further: FurtherPairs) -> None:
    seeds.append(max(seeds) + 1)
    further.train(seeds[-1])
