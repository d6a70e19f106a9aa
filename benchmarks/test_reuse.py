"""False verdicts on 20 variants with one test split: `python -m benchmarks.test_reuse`

A person trains 20 variants of the transfer arm, none of which is better than training from scratch, and gets a verdict
on each, on the same test items against the same baseline arm. Whether a model is correct on an item depends on the
item's difficulty for all models, for its arm and for its variant, on the effect of the seed, and on their interaction
(a probit model, as in benchmarks/verdict_worlds.py). The variants are chosen in one of two ways:

    planned     independently of the test results of the earlier ones
    climbing    each is a change of the one with the best test accuracy so far: half of the difficulty of an item for
                that variant is kept, half is new

Results are in percent of the draws, if each verdict has its own alpha (`check_transfer.alpha_over: verdict`) and if all
of them share it (`test_split`):

    first_decided   the first variant gets a verdict, positive or negative
    any_positive    at least one of the 20 is called positive
    any_decided     at least one gets a verdict

1,000 draws: a share of 5 % has a standard error of 0.7 points. It takes about ten minutes of one core. Writes
benchmarks/test_reuse.csv.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd

from benchmarks.probit_worlds import mixed, right_answers, skills
from graft.transfer.compare import gain_components, verdict_of_all
from graft.transfer.improvement import improvement
from graft.transfer.ledger import share_of_alpha

TABLE = Path(__file__).with_suffix(".csv")
ALPHA = 0.05
ACCURACY = 0.85
SEED_DEVIATION = 0.05
"""Standard deviation of a seed's latent mean: 1.2 points of accuracy."""
NUM_VARIANTS = 20
HARDNESS, OF_ARM, OF_VARIANT = 0.4, 0.1, 0.2
"""Shares of the latent variance: difficulty of an item for all models, for those of an arm, and for one variant. The
rest is the noise of each run."""
KEPT = 0.5
"""Share of a variant's own variance that is kept in the variant made from it."""


@dataclass(frozen=True)
class World:
    num_seeds: int
    num_items: int
    variants: Literal["planned", "climbing"]

    def draw(self, generator: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Correctness [S, N] of one variant after the other, and of the baseline arm, which stays the same."""
        hardness_N = HARDNESS**0.5 * generator.normal(size=self.num_items)
        arm_N = hardness_N + OF_ARM**0.5 * generator.normal(size=self.num_items)
        of_baseline_N = (OF_ARM + OF_VARIANT) ** 0.5 * generator.normal(size=self.num_items)
        baseline_SN = self._correct(hardness_N + of_baseline_N, generator)
        best, best_N = -1.0, np.zeros(self.num_items)
        for number in range(NUM_VARIANTS):
            own_N = generator.normal(size=self.num_items)
            if self.variants == "climbing" and number:
                own_N = mixed(KEPT, best_N, own_N)
            variant_SN = self._correct(arm_N + OF_VARIANT**0.5 * own_N, generator)
            if variant_SN.mean() > best:
                best, best_N = float(variant_SN.mean()), own_N
            yield variant_SN, baseline_SN

    def _correct(self, latent_N: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        noise_SN = generator.normal(size=(self.num_seeds, self.num_items))
        rest = (1 - HARDNESS - OF_ARM - OF_VARIANT) ** 0.5
        return right_answers(
            skills(ACCURACY, SEED_DEVIATION, generator.normal(size=self.num_seeds)), latent_N, rest * noise_SN
        )


def worlds() -> Iterator[World]:
    for seeds, items in product((3, 5), (200, 1000)):
        yield World(seeds, items, "planned")
        yield World(seeds, items, "climbing")


def sign_of(variant_SN: np.ndarray, baseline_SN: np.ndarray, alpha: float) -> int:
    """1 for a positive verdict on the variant, -1 for a negative one, else 0."""
    gain = gain_components(variant_SN, baseline_SN, span=1).interval(alpha)
    better = improvement(variant_SN, baseline_SN, groups_N=None, alpha=alpha)
    return {"positive": 1, "negative": -1}.get(verdict_of_all(gain, better, None, 0.0), 0)


def examined(world: World, num_draws: int) -> dict[str, dict[str, float]]:
    """Percentages of the draws, by the scope of alpha."""
    generator = np.random.default_rng(crc32(repr(world).encode()))
    signs_ADV = np.zeros((2, num_draws, NUM_VARIANTS), dtype=int)
    for draw in range(num_draws):
        for number, pair in enumerate(world.draw(generator)):
            signs_ADV[0, draw, number] = sign_of(*pair, ALPHA)
            if signs_ADV[0, draw, number]:  # a stricter level never decides more
                signs_ADV[1, draw, number] = sign_of(*pair, ALPHA * share_of_alpha(number + 1))
    return {
        over: {
            "first_decided": 100 * float((signs_DV[:, 0] != 0).mean()),
            "any_positive": 100 * float((signs_DV > 0).any(axis=1).mean()),
            "any_decided": 100 * float((signs_DV != 0).any(axis=1).mean()),
        }
        for over, signs_DV in zip(("verdict", "test_split"), signs_ADV, strict=True)
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, minimum and maximum over the worlds, by kind of variants and scope of alpha."""
    found = ["first_decided", "any_positive", "any_decided"]
    return table.groupby(["variants", "alpha_over"], sort=False)[found].agg(["mean", "min", "max"]).round(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    rows = []
    for world in worlds():
        for over, found in examined(world, arguments.draws).items():
            rows.append(asdict(world) | {"alpha_over": over, "draws": arguments.draws} | found)
            print(" ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    table = pd.DataFrame(rows).round(2)
    table.to_csv(TABLE, index=False)
    print(summary(table).T.to_string())


if __name__ == "__main__":
    main()
