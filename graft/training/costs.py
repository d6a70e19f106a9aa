"""Costs of training: seconds, energy and CO2 per arm and seed.

An arm's costs are stored under the sha256 of its predictions, which no other training shares.

No two runs take the same time, so the costs are no output of DVC: they are in `.graft/costs.json`
(graft.core.paths.costs).
"""

import logging
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from pathlib import Path

from filelock import FileLock

from graft.core.arms import ARMS, ArmName
from graft.core.artifacts import Artifact
from graft.core.errors import ContentChangedError
from graft.core.files import sha256_of_file

logger = logging.getLogger(__name__)

NUM_KEPT = 200
"""Number of arms in the file; the oldest are dropped first."""


class Cost(Artifact):
    seconds: float
    energy_wh: float | None
    """None: not known; `energy_basis` gives the reason."""
    co2_g: float | None
    """CO2 equivalents of generating that electricity; None: not known."""
    energy_basis: str
    """Parts of the energy that were measured, and the basis of the estimate of the rest."""
    carbon_basis: str
    """Country of the electricity, and its CO2 per kWh."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            seconds=self.seconds + other.seconds,
            energy_wh=_sum(self.energy_wh, other.energy_wh),
            co2_g=_sum(self.co2_g, other.co2_g),
            energy_basis=_joined(self.energy_basis, other.energy_basis),
            carbon_basis=_joined(self.carbon_basis, other.carbon_basis),
        )

    def __str__(self) -> str:
        if self.energy_wh is None or self.co2_g is None:
            return f"{_short(self.seconds)} s, energy not known"
        return f"{_short(self.seconds)} s, {_short(self.energy_wh)} Wh, {_short(self.co2_g)} g CO2"

    @property
    def metrics(self) -> dict[str, float]:
        """Known values by their names in MLflow."""
        numbers = {
            "training_s": self.seconds,
            "training_energy_wh": self.energy_wh,
            "training_co2_g": self.co2_g,
        }
        return {name: number for name, number in numbers.items() if number is not None}


class Costs(Artifact):
    """Contents of costs.json."""

    arms: dict[str, dict[int, Cost]]
    """sha256 of an arm's predictions -> seed -> cost."""


def total(costs: Iterable[Cost]) -> Cost:
    """
    Args:
        costs: at least one.
    """
    return reduce(add, costs)


def mean(costs: Iterable[Cost]) -> Cost:
    """
    Args:
        costs: at least one.
    """
    of_seeds = list(costs)
    whole, share = total(of_seeds), 1 / len(of_seeds)
    return whole.model_copy(
        update={
            "seconds": whole.seconds * share,
            "energy_wh": None if whole.energy_wh is None else whole.energy_wh * share,
            "co2_g": None if whole.co2_g is None else whole.co2_g * share,
        }
    )


def add_costs(path: Path, artifacts_dir: Path, arm: ArmName, of_seeds: Mapping[int, Cost]) -> None:
    """Adds the costs of seeds of the arm in `artifacts_dir` to the file. Safe for concurrent processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = sha256_of_file(artifacts_dir / ARMS[arm].predictions)
    with FileLock(path.with_name(f"{path.name}.lock")):
        arms = dict(_read(path).arms)
        arms[key] = {**arms.pop(key, {}), **of_seeds}
        Costs(arms=dict(list(arms.items())[-NUM_KEPT:])).save(path)


def costs_of(path: Path, artifacts_dir: Path, seeds: list[int]) -> dict[ArmName, dict[int, Cost]]:
    """Costs by arm and seed of the arms in `artifacts_dir`, for those of `seeds` that were trained in this project.

    An arm that was trained in another place, and comes from DVC's cache, has none.
    """
    arms = _read(path).arms
    keys = {arm: sha256_of_file(artifacts_dir / files.predictions) for arm, files in ARMS.items()}
    return {arm: {seed: arms[key][seed] for seed in seeds if seed in arms.get(key, {})} for arm, key in keys.items()}


def in_words(by_arm: Mapping[ArmName, Mapping[int, Cost]], num_seeds: int) -> str:
    """Mean cost per seed of each arm, and the ratio of the transfer arm to the baseline, as a sentence.

    Args:
        by_arm: from `costs_of`.
        num_seeds: number of seeds that each arm was trained with.
    """
    known = {arm: mean(of_seeds.values()) for arm, of_seeds in by_arm.items() if of_seeds}
    if not known:
        return "nothing was measured: DVC took both arms from its cache, and they were not trained here"
    parts = []
    for arm, of_seeds in by_arm.items():
        of_how_many = "" if len(of_seeds) == num_seeds else f" ({len(of_seeds)} of {num_seeds} seeds)"
        parts.append(f"{arm} {known[arm]}{of_how_many}" if of_seeds else f"{arm} was not trained here")
    if len(known) == len(by_arm):
        parts.append(_ratio(known["transfer"], known["baseline"]))
    basis = total(known.values())
    return f"per seed: {'; '.join(parts)} ({basis.energy_basis}; {basis.carbon_basis})"


def _ratio(transfer: Cost, baseline: Cost) -> str:
    words = f"transfer takes {transfer.seconds / baseline.seconds:.2f} of the time"
    if transfer.energy_wh is None or not baseline.energy_wh:
        return words
    return f"{words}, {transfer.energy_wh / baseline.energy_wh:.2f} of the energy"


def _read(path: Path) -> Costs:
    """The file's contents; no arms if it is missing or damaged, since no result depends on it."""
    try:
        return Costs.load(path)
    except FileNotFoundError:
        return Costs(arms={})
    except ContentChangedError:
        logger.warning(f"  {path} cannot be read; the cost of earlier trainings is lost")
        return Costs(arms={})


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _joined(first: str, second: str) -> str:
    return first if second in first else f"{first}; {second}"


def _short(number: float) -> str:
    """Number with two significant digits, or with all digits before the point."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
