"""Is the verdict's interval right as often as it says? `python -m benchmarks.verdict_calibration`

Two arms are simulated with S seeds and N test items each: whether a model is right on an item hangs on how hard the
item is for both arms and for this one, on the luck of the seed, and on both together (a probit model). By the settings
of that, and 1,000 draws each, a fifth of these where it is looked again and again (standard errors of 0.7 points at
95 %, 1.3 at 80 %, 1.5 when looking):

    coverage   how often the 95 % interval holds the true gain, of arms that do not differ; 100 % less that is how often
               such arms get a verdict; aim 93 to 97 %
    power      how often arms that differ by the gain that should be found with 80 % get a verdict, and what
               `graft.transfer.spread.Spread.power` promises of the true variances; aim within 2 points
    looking    how often arms that do not differ get a verdict where pairs of seeds are added from two on, one at a
               time, until there is one or all are there (graft/transfer/looks.py); aim at most 5 %

A quarter of an hour of two cores.

Writes benchmarks/verdict_calibration.csv; rows of other numbers of seeds stay.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from itertools import product, repeat
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from scipy.stats import norm

from graft.transfer.looks import level_of
from graft.transfer.spread import Spread, spread_of

TABLE = Path(__file__).with_suffix(".csv")
ALPHA = 0.05
ACCURACY = 0.85
FIRST_LOOK = 2


@dataclass(frozen=True)
class World:
    num_seeds: int
    num_items: int
    shared: float
    """Of the latent variance: how hard an item is for both arms."""
    own: float
    """For one arm."""
    seed_deviation: float
    """Of the latent mean of a seed; 0.05, 0.15 and 0.3 are 1.2, 3.5 and 7 points of accuracy."""

    def draw(self, generator: np.random.Generator, gain: float) -> tuple[np.ndarray, np.ndarray]:
        """Right and wrong [S, N] of two arms; the first is better by `gain` (0..1) on average."""
        hardness_N = generator.normal(size=self.num_items)

        def arm(accuracy: float) -> np.ndarray:
            # the seed's luck widens the latent distribution, and must not change the mean accuracy
            skill = norm.ppf(accuracy) * (1 + self.seed_deviation**2) ** 0.5
            skill_S1 = skill + self.seed_deviation * generator.normal(size=(self.num_seeds, 1))
            own_N = generator.normal(size=self.num_items)
            luck_SN = generator.normal(size=(self.num_seeds, self.num_items))
            rest = (1 - self.shared - self.own) ** 0.5
            latent_SN = self.shared**0.5 * hardness_N + self.own**0.5 * own_N + rest * luck_SN
            return (latent_SN < skill_S1).astype(np.float64)

        return arm(ACCURACY + gain / 2), arm(ACCURACY - gain / 2)


def worlds(nums_seeds: list[int]) -> Iterator[World]:
    for seeds, items, (shared, own), deviation in product(
        nums_seeds, (50, 200, 1000, 5000), ((0.2, 0.1), (0.5, 0.2), (0.8, 0.1)), (0.0, 0.05, 0.15, 0.3)
    ):
        yield World(seeds, items, shared, own, deviation)


def share_decided(world: World, gain: float, num_draws: int, generator: np.random.Generator) -> tuple[float, Spread]:
    """How often the interval leaves out zero, and the spread averaged over the draws."""
    num_decided, spreads = 0, []
    for _ in range(num_draws):
        better, worse = world.draw(generator, gain)
        spread = spread_of(better, -worse)
        num_decided += abs((better - worse).mean()) > spread.half_width(ALPHA)
        spreads.append(spread)
    mean = {
        field.name: np.mean([getattr(spread, field.name) for spread in spreads], axis=0) for field in fields(Spread)
    }
    return num_decided / num_draws, Spread(**mean)


def share_decided_when_looking(world: World, num_draws: int, generator: np.random.Generator) -> tuple[float, float]:
    """Of arms that do not differ; and the pairs of seeds that were trained, on average."""
    num_decided, num_pairs = 0, 0
    for _ in range(num_draws):
        one, other = world.draw(generator, 0)
        spreads: list[Spread] = []
        is_decided = is_last = False
        while not (is_decided or is_last):
            number = len(spreads) + FIRST_LOOK
            spreads.append(spread_of(one[:number], -other[:number]))
            level, is_last = level_of(spreads, world.num_seeds, ALPHA)
            is_decided = bool(abs((one[:number] - other[:number]).mean()) > spreads[-1].half_width(level))
        num_decided += is_decided
        num_pairs += number
    return num_decided / num_draws, num_pairs / num_draws


def examined(world: World, num_draws: int) -> dict[str, float]:
    generator = np.random.default_rng(crc32(repr(world).encode()))  # draws of its own: errors of means average out
    false_verdicts, spread = share_decided(world, 0, num_draws, generator)
    gain = min(spread.smallest_detectable(ALPHA), 2 * (1 - ACCURACY) - 0.02)
    power, of_the_better = share_decided(world, gain, num_draws, generator)
    looking, num_pairs = share_decided_when_looking(world, num_draws // 5, generator)
    return {
        "coverage": 100 * (1 - false_verdicts),
        "half_width_points": 100 * spread.half_width(ALPHA),
        "gain_points": 100 * gain,
        "power": 100 * power,
        "promised": 100 * of_the_better.power(gain, ALPHA),
        "looking": 100 * looking,
        "pairs": num_pairs,
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """By the number of seeds: mean, lowest and highest over the worlds."""
    table = table.assign(power_less_promised=table["power"] - table["promised"])
    found = ["coverage", "looking", "power_less_promised", "pairs"]
    return table.groupby("num_seeds")[found].agg(["mean", "min", "max"]).round(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 10])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    known = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame({"num_seeds": []})
    kept, rows = known[~known["num_seeds"].isin(arguments.seeds)], []
    with ProcessPoolExecutor(arguments.processes) as pool:
        of_worlds = pool.map(examined, worlds(arguments.seeds), repeat(arguments.draws))
        for world, found in zip(worlds(arguments.seeds), of_worlds, strict=True):
            rows.append(asdict(world) | {"draws": arguments.draws} | found)
            table = pd.concat([kept, pd.DataFrame(rows).round(2)]).sort_values("num_seeds", kind="stable")
            table.to_csv(TABLE, index=False)
            print(" ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    print(summary(table).T.to_string())
    outside = table[~table["coverage"].between(93, 97)]
    print(f"{len(table) - len(outside)} of {len(table)} worlds have a coverage between 93 and 97 %")


if __name__ == "__main__":
    main()
