"""Does the interval of the labels that a transfer saves hold the truth? `python -m benchmarks.labels_saved`

Two arms with known learning curves (100 % - b n^-c of the labels n) are simulated with S seeds and N test items at four
numbers of labels: whether a model is right on an item hangs on how hard the item is for all models and for its arm, on
the luck of the seed, which is greater with fewer labels, and on both together (a probit model, as in
benchmarks/verdict_worlds.py). By the settings of that, and 400 draws each (a standard error of one point):

    coverage        how often the 95 % interval of graft.transfer.labels_saved holds the true number of labels
    bootstrap       the same of a percentile bootstrap that draws the seeds of each arm and number of labels, and the
                    items (Owen's pigeonhole bootstrap), 400 resamples
    width           median of the interval's upper end over its lower one, where it has both
    closed          how often it has both ends

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
from scipy.stats import norm

from graft.transfer.labels_saved import NeededLabels, first_not_below_zero, needed_labels, rising_curve

TABLE = Path(__file__).with_suffix(".csv")
ALPHA = 0.05
NUM_LABELS = [213, 426, 852, 1704]
SHARED, OWN = 0.5, 0.2
"""Of the latent variance: how hard an item is for both arms, and for one."""
NUM_RESAMPLES = 400
ACCURACY = 0.9
"""Of transfer with all labels."""
EXPONENT = 0.4
"""Of both learning curves."""


@dataclass(frozen=True)
class World:
    num_seeds: int
    num_items: int
    seed_deviation: float
    """Of the latent mean of a seed with all labels; 0.05 and 0.15 are 1.2 and 3.5 points of accuracy."""
    true_share: float
    """Of all labels with which transfer reaches baseline with all."""

    @property
    def true_labels(self) -> float:
        return self.true_share * NUM_LABELS[-1]

    def transfer_accuracy(self, num_labels: float) -> float:
        return 1 - (1 - ACCURACY) * (num_labels / NUM_LABELS[-1]) ** -EXPONENT

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Right and wrong of transfer [F, S, N], and of baseline with all labels [S, N]."""
        hardness_N = generator.normal(size=self.num_items)
        own_N = {arm: generator.normal(size=self.num_items) for arm in ("transfer", "baseline")}

        def models(arm: str, accuracy: float, deviation: float) -> np.ndarray:
            # the seed's luck widens the latent distribution, and must not change the mean accuracy
            skill = norm.ppf(accuracy) * (1 + deviation**2) ** 0.5
            skill_S1 = skill + deviation * generator.normal(size=(self.num_seeds, 1))
            luck_SN = generator.normal(size=(self.num_seeds, self.num_items))
            latent_SN = SHARED**0.5 * hardness_N + OWN**0.5 * own_N[arm] + (1 - SHARED - OWN) ** 0.5 * luck_SN
            return (latent_SN < skill_S1).astype(np.float64)

        transfer = [
            models("transfer", self.transfer_accuracy(number), self.seed_deviation * (NUM_LABELS[-1] / number) ** 0.25)
            for number in NUM_LABELS
        ]
        return np.stack(transfer), models("baseline", self.transfer_accuracy(self.true_labels), self.seed_deviation)


def worlds() -> Iterator[World]:
    for setting in product((2, 3, 5), (200, 1000), (0.0, 0.05, 0.15), (0.08, 0.18, 0.35, 0.7, 1.3)):
        yield World(*setting)


def holds(interval: NeededLabels, true_labels: float) -> bool:
    if interval.low is None:
        return true_labels > NUM_LABELS[-1]
    known = max(true_labels, NUM_LABELS[0])
    return interval.low <= known and (interval.high is None or known <= interval.high)


def bootstrapped(transfer_FSN: np.ndarray, baseline_SN: np.ndarray, generator: np.random.Generator) -> NeededLabels:
    """A percentile interval; seeds are drawn for each arm and number of labels, items once for all."""
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
        held += holds(found, world.true_labels)
        held_by_bootstrap += holds(bootstrapped(transfer_FSN, baseline_SN, generator), world.true_labels)
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
