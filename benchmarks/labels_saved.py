"""Coverage of the interval of the labels that a transfer saves: `python -m benchmarks.labels_saved`

Two arms with known learning curves (100 % - b n^-c of the labels n) are simulated with S seeds and N test items at four
numbers of labels: whether a model is correct on an item depends on the item's difficulty for all models and for its
arm, on the effect of the seed, which is larger with fewer labels, and on their interaction (a probit model, as in
benchmarks/verdict_worlds.py). For each setting, with 400 draws (a standard error of one point):

    coverage        coverage of the 95 % interval of graft.transfer.labels_saved, in percent of the draws
    bootstrap       the same for a percentile bootstrap that draws the seeds of each arm and number of labels, and the
                    items (Owen's pigeonhole bootstrap), 400 resamples
    width           median ratio of the interval's upper end to its lower one, if it has both
    closed          share of two-sided intervals, in percent

Half an hour of one core. Writes benchmarks/labels_saved.csv; the one that is committed has two and three seeds, and 200
draws.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.probit_worlds import right_answers, skills
from graft.transfer.labels_saved import NeededLabels, first_not_below_zero, needed_labels, rising_curve

TABLE = Path(__file__).with_suffix(".csv")
ALPHA = 0.05
NUM_LABELS = [213, 426, 852, 1704]
SHARED, OWN = 0.5, 0.2
"""Shares of the latent variance: difficulty of an item for both arms, and for one."""
NUM_RESAMPLES = 400
ACCURACY = 0.9
"""Accuracy of transfer with all labels."""
EXPONENT = 0.4
"""Exponent of both learning curves."""


@dataclass(frozen=True)
class World:
    num_seeds: int
    num_items: int
    seed_deviation: float
    """Standard deviation of a seed's latent mean with all labels; 0.05 and 0.15 are 1.2 and 3.5 points of accuracy."""
    true_share: float
    """Share of all labels with which transfer reaches the baseline with all of them."""

    @property
    def true_labels(self) -> float:
        return self.true_share * NUM_LABELS[-1]

    def transfer_accuracy(self, num_labels: float) -> float:
        return 1 - (1 - ACCURACY) * (num_labels / NUM_LABELS[-1]) ** -EXPONENT

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Correctness of transfer [F, S, N], and of the baseline with all labels [S, N]."""
        hardness_N = generator.normal(size=self.num_items)
        own_N = {arm: generator.normal(size=self.num_items) for arm in ("transfer", "baseline")}

        def models(arm: str, accuracy: float, deviation: float) -> np.ndarray:
            skills_S = skills(accuracy, deviation, generator.normal(size=self.num_seeds))
            noise_SN = (1 - SHARED - OWN) ** 0.5 * generator.normal(size=(self.num_seeds, self.num_items))
            return right_answers(skills_S, SHARED**0.5 * hardness_N + OWN**0.5 * own_N[arm], noise_SN)

        transfer = [
            models("transfer", self.transfer_accuracy(number), self.seed_deviation * (NUM_LABELS[-1] / number) ** 0.25)
            for number in NUM_LABELS
        ]
        return np.stack(transfer), models("baseline", self.transfer_accuracy(self.true_labels), self.seed_deviation)


def worlds() -> Iterator[World]:
    for setting in product((2, 3, 5), (200, 1000), (0.0, 0.05, 0.15), (0.08, 0.18, 0.35, 0.7, 1.3)):
        yield World(*setting)


def covers(interval: NeededLabels, true_labels: float) -> bool:
    if interval.low is None:
        return true_labels > NUM_LABELS[-1]
    known = max(true_labels, NUM_LABELS[0])
    return interval.low <= known and (interval.high is None or known <= interval.high)


def bootstrapped(transfer_FSN: np.ndarray, baseline_SN: np.ndarray, generator: np.random.Generator) -> NeededLabels:
    """Percentile interval; seeds are drawn for each arm and number of labels, items once for all."""
    models_MSN = np.concatenate([transfer_FSN, baseline_SN[None]])
    num_seeds, num_items = baseline_SN.shape
    weights_RN = generator.multinomial(num_items, np.full(num_items, 1 / num_items), NUM_RESAMPLES) / num_items
    of_seeds_RMS = np.einsum("rn,msn->rms", weights_RN, models_MSN, optimize=True)
    drawn_RMS = generator.integers(num_seeds, size=of_seeds_RMS.shape)
    means_RM = np.take_along_axis(of_seeds_RMS, drawn_RMS, axis=2).mean(axis=2)
    found_R = []
    for means_M in means_RM:
        found = first_not_below_zero(NUM_LABELS, rising_curve(means_M[:-1] - means_M[-1]))
        found_R.append(np.inf if found is None else found)
    low, high = np.quantile(found_R, [ALPHA / 2, 1 - ALPHA / 2], method="nearest")
    return NeededLabels(
        fewest=NUM_LABELS[0], all=NUM_LABELS[-1], labels=None,
        low=float(low) if np.isfinite(low) else None, high=float(high) if np.isfinite(high) else None,
    )  # fmt: skip


def examined(world: World, num_draws: int) -> dict[str, float]:
    generator = np.random.default_rng(0)
    held, held_by_bootstrap, widths = 0, 0, []
    for _ in range(num_draws):
        transfer_FSN, baseline_SN = world.draw(generator)
        found = needed_labels(NUM_LABELS, transfer_FSN, baseline_SN, alpha=ALPHA)
        held += covers(found, world.true_labels)
        held_by_bootstrap += covers(bootstrapped(transfer_FSN, baseline_SN, generator), world.true_labels)
        if found.low is not None and found.high is not None:
            widths.append(found.high / found.low)
    return {
        "coverage": 100 * held / num_draws,
        "bootstrap": 100 * held_by_bootstrap / num_draws,
        "closed": 100 * len(widths) / num_draws,
        "width": float(np.median(widths)) if widths else np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    arguments = parser.parse_args()
    rows = []
    for world in worlds():
        rows.append(asdict(world) | examined(world, arguments.draws))
        pd.DataFrame(rows).round(2).to_csv(TABLE, index=False)
        print(" ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    table = pd.DataFrame(rows)
    for key in ("num_seeds", "true_share"):
        print(table.groupby(key)[["coverage", "bootstrap"]].agg(["mean", "min", "max"]).round(1).to_string())


if __name__ == "__main__":
    main()
