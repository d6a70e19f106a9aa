"""Pairs of seeds beyond those of the stages finetune and scratch: one of each arm."""

from functools import cached_property

import pandas as pd

from graft.core.artifacts import ArmName
from graft.core.config import Params
from graft.data.manifest import read_manifest
from graft.experiment.result import ArmResult
from graft.experiment.seeds import SeedRun, curves_table
from graft.training.preemption import Preemption
from graft.watch.findings import TrainingFinding
from tasks.arms import scratch_arm, transfer_arm
from tasks.recipe import settled
from tasks.stage import ARTIFACTS
from tasks.train_arm import ReadyArm, findings_of, keep_costs, read_source, ready_arms, recipe_of


class FurtherPairs:
    """Trains them as the stages did. Nothing is loaded before the first of them."""

    def __init__(self, params: Params, results: dict[ArmName, ArmResult]) -> None:
        """
        Args:
            results: of the stages, by arm.
        """
        self._params, self._results = params, results
        self.seeds: list[int] = []
        self._runs: dict[ArmName, list[SeedRun]] = {arm: [] for arm in results}

    @cached_property
    def _ready(self) -> dict[ArmName, ReadyArm]:
        manifest, source = read_manifest(ARTIFACTS / "manifest.parquet"), read_source()
        params = settled(self._params, manifest)
        return ready_arms(params, source, manifest, transfer_arm(params, source), scratch_arm(params, source))

    def train(self, seed: int) -> None:
        with Preemption() as stop:
            for arm, result in self._results.items():
                self._runs[arm] += self._ready[arm].train(recipe_of(result), [seed], stop)
        self.seeds.append(seed)

    def predictions(self, arm: ArmName) -> pd.DataFrame | None:
        """None: no seed was trained."""
        return self._ready[arm].predictions(self._runs[arm]) if self.seeds else None

    def curves(self, arm: ArmName) -> pd.DataFrame | None:
        """None: no seed was trained."""
        return curves_table(self._runs[arm], arm) if self.seeds else None

    def findings(self, arm: ArmName) -> list[TrainingFinding]:
        return findings_of(self._runs[arm])

    def keep_costs(self) -> None:
        for arm, runs in self._runs.items():
            if runs:
                keep_costs(arm, runs)
