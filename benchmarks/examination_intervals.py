"""Coverage of the intervals of one model if items come in groups: `python -m benchmarks.examination_intervals`

A model of known quality predicts items with confidences of 70 to 100 %, overconfident by a known temperature. Whether
it is correct on an item is random, with a known correlation within groups (a Gaussian copula, so that the accuracy at
every confidence is unchanged); on corrupted images its accuracy is ten points lower. For each setting, with 200 draws
(a standard error of 1.5 points), the coverage of the 95 % interval for

    accuracy, drop, log_loss, ece, temperature        as the stage examine gives them (docs/verdict.md)

each as "grouped", with the groups named, and as "items", where every item is taken as independent.

A quarter of an hour of one core. Writes benchmarks/examination_intervals.csv.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.probit_worlds import mixed
from graft.core.artifacts import Interval
from graft.statistics.calibration import CONFIDENCE, calibration_of, log_losses, temperature_of, tempered
from graft.statistics.intervals import item_interval, share_interval

TABLE = Path(__file__).with_suffix(".csv")
LEAST, MOST = 0.7, 1.0
"""Range of the true confidences, which are uniform."""
DROP_POINTS = 10.0
NUM_RESAMPLES = 100
NUM_BINS = 10


@dataclass(frozen=True)
class World:
    num_groups: int
    group_size: int
    shared: float
    """Share of the variance of an item's random effect that its group has in common."""
    temperature: float
    """Temperature by which the probabilities are overconfident."""

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stated probabilities [N, 2], labels [N], and correctness on corrupted images [N], group by group."""
        confidence_N = generator.uniform(LEAST, MOST, self.num_groups * self.group_size)
        latent_N = self._effects(generator)
        is_right_N = norm.cdf(latent_N) < confidence_N
        other_N = 0.5**0.5 * (latent_N + self._effects(generator))
        survives_N = (norm.cdf(other_N) < confidence_N - DROP_POINTS / 100).astype(float)
        true_NK = np.stack([confidence_N, 1 - confidence_N], axis=1)
        return tempered(true_NK, 1 / self.temperature), np.where(is_right_N, 0, 1), survives_N

    def _effects(self, generator: np.random.Generator) -> np.ndarray:
        of_groups_N = np.repeat(generator.normal(size=self.num_groups), self.group_size)
        return mixed(self.shared, of_groups_N, generator.normal(size=len(of_groups_N)))

    def truths(self) -> dict[str, float]:
        confidence_M = np.linspace(LEAST, MOST, 20_001)
        stated_MK = tempered(np.stack([confidence_M, 1 - confidence_M], axis=1), 1 / self.temperature)
        zeros_M = np.zeros(len(confidence_M), dtype=int)
        loss_M = confidence_M * log_losses(stated_MK, zeros_M) + (1 - confidence_M) * log_losses(stated_MK, zeros_M + 1)
        return {
            "accuracy": (LEAST + MOST) / 2,
            "drop": DROP_POINTS,
            "log_loss": float(loss_M.mean()),
            "ece": float(np.abs(stated_MK[:, 0] - confidence_M).mean()),
            "temperature": self.temperature,
        }


def worlds() -> Iterator[World]:
    for (num_groups, group_size), temperature in product([(100, 1), (400, 1)], [1.0, 1.8]):
        yield World(num_groups, group_size, 0.0, temperature)
    for (num_groups, group_size), shared, temperature in product([(10, 20), (40, 10)], [0.0, 0.5, 1.0], [1.0, 1.8]):
        yield World(num_groups, group_size, shared, temperature)


def intervals(
    stated_NK: np.ndarray, labels_N: np.ndarray, survives_N: np.ndarray, groups_N: np.ndarray | None
) -> dict[str, Interval]:
    right_N = (labels_N == 0).astype(float)
    calibration = calibration_of(stated_NK, labels_N, groups_N, num_bins=NUM_BINS, seed=0, num_resamples=NUM_RESAMPLES)
    drops_N = 100 * (right_N - survives_N)
    return {
        "accuracy": share_interval(right_N, groups_N, confidence=CONFIDENCE),
        "drop": item_interval(drops_N, groups_N, bounds=(-100, 100), confidence=CONFIDENCE),
        "log_loss": calibration.log_loss,
        "ece": calibration.ece,
        "temperature": temperature_of(stated_NK, labels_N, groups_N, seed=0, num_resamples=NUM_RESAMPLES),
    }


def examined(world: World, num_draws: int) -> dict[str, float]:
    """Coverage of each interval: share of draws, in percent."""
    generator, truths = np.random.default_rng(0), world.truths()
    groups_N = np.repeat(np.arange(world.num_groups), world.group_size)
    held = dict.fromkeys((f"{name}_{how}" for name in truths for how in ("grouped", "items")), 0)
    for _ in range(num_draws):
        drawn = world.draw(generator)
        for how, groups in (("grouped", groups_N), ("items", None)):
            for name, found in intervals(*drawn, groups).items():
                held[f"{name}_{how}"] += found.low <= truths[name] <= found.high
    return {name: 100 * number / num_draws for name, number in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    rows = []
    for world in worlds():
        rows.append(asdict(world) | examined(world, arguments.draws))
        pd.DataFrame(rows).round(1).to_csv(TABLE, index=False)
        print(" ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)


if __name__ == "__main__":
    main()
