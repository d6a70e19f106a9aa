"""Pairs of seeds beyond those of the arms' stages: one run of each arm."""

from functools import cached_property

import pandas as pd

from graft.core.arms import ArmName
from graft.experiment.experiment import Experiment
from graft.experiment.result import ArmResult
from graft.experiment.run_arm import findings_of, keep_costs
from graft.experiment.seeds import SeedRun, curves_table
from graft.project import Project
from graft.training.preemption import Preemption
from graft.watch.findings import TrainingFinding


class FurtherPairs:
    """Trains pairs like the stages. Images are decoded and weights loaded when the first pair is trained."""

    def __init__(self, project: Project, results: dict[ArmName, ArmResult]) -> None:
        """
        Args:
            results: of the arms' stages.
        """
        self._project, self._results = project, results
        self.seeds: list[int] = []
        self._runs: dict[ArmName, list[SeedRun]] = {arm: [] for arm in results}

    @cached_property
    def _experiment(self) -> Experiment:
        return Experiment(self._project)

    def train(self, seed: int) -> None:
        with Preemption() as stop:
            for arm, result in self._results.items():
                self._runs[arm] += self._experiment.trainer(arm).train(result.recipe, [seed], stop)
        self.seeds.append(seed)

    def predictions(self, arm: ArmName) -> pd.DataFrame | None:
        """Predictions for the test split; None: no seed was trained."""
        return self._experiment.trainer(arm).predictions(self._runs[arm]) if self.seeds else None

    def curves(self, arm: ArmName) -> pd.DataFrame | None:
        """Learning curves; None: no seed was trained."""
        return curves_table(self._runs[arm], arm) if self.seeds else None

    def findings(self, arm: ArmName) -> list[TrainingFinding]:
        return findings_of(self._runs[arm])

    def keep_costs(self) -> None:
        for arm, runs in self._runs.items():
            if runs:
                keep_costs(self._project, arm, runs)
