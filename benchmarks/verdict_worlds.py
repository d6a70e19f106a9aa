"""Error rates of the verdict and coverage of its interval in realistic settings: `python -m benchmarks.verdict_worlds`

Two arms are simulated with five seeds and N test items: whether a model is correct on an item depends on the item's
difficulty for both arms and for this one, on the effect of the seed, and on their interaction (a probit model). The
worlds:

    plain     independent items, seeds that differ by 0, 1, 3.5 or 7 points
    groups    items in groups of equal or unequal sizes, which share half or all of an item's difficulty
    ceiling   accuracies from 95 to 99.5 %, 20 to 200 items
    seeds     arms with different variances of seeds, heavy tails, or one in ten seeds collapsing to 50 %

For each world, with 1,000 draws (standard errors of 0.7 points at 5 %):

    coverage    coverage of the 95 % interval of the mean gain, five seeds
    positive, negative, equivalent
                frequency of such a verdict if seeds are added from three to five, one pair at a time, until there is
                one (graft/transfer/interim_analyses.py)
    pairs       mean number of pairs of seeds that were trained for it
    found       plain worlds: frequency of a verdict on a gain whose power should be 80 %, five seeds, one analysis
    seen        worlds with collapses: frequency of a collapse among the seeds analysed
    negative_seen   frequency of a negative verdict among these
    times       plain worlds: ratio of the significant gains to the true gain, if 30 % are significant; and the same for
                the gains corrected for the exaggeration

Half an hour of two cores. Writes benchmarks/verdict_worlds.csv, one row per world, and prints the tables of
docs/verdict.md; `--kinds` without a kind only prints these.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import product, repeat
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.probit_worlds import mixed, right_answers, skills
from graft.statistics.alpha_spending import level_of
from graft.statistics.variance_components import VarianceComponents
from graft.transfer.collapse import collapsed_seeds
from graft.transfer.compare import gain_components, verdict_of_all
from graft.transfer.improvement import improvement
from graft.transfer.interim_analyses import FEWEST_PAIRS

TABLE = Path(__file__).with_suffix(".csv")
ALPHA, MARGIN_POINTS = 0.05, 0.5
MAX_SEEDS = 5
COLLAPSED_ACCURACY = 0.5
SHARED, OWN = 0.5, 0.2
"""Shares of the latent variance: difficulty of an item for both arms, and for one."""
SELDOM_FOUND = 0.3


@dataclass(frozen=True)
class World:
    kind: Literal["plain", "groups", "ceiling", "seeds"]
    num_items: int
    num_groups: int = 0
    """Number of groups; 0: every item is independent."""
    sizes: Literal["equal", "unequal"] = "equal"
    """Sizes of the groups; unequal ones grow by equal factors, the largest has 20 times the items of the smallest."""
    shared_in_group: float = 0.0
    """Share of an item's effect that comes from its group."""
    accuracy: float = 0.85
    gain_points: float = 0.0
    transfer_deviation: float = 0.05
    """Standard deviation of a seed's latent mean; 0.05, 0.15 and 0.3 are 1.2, 3.5 and 7 points at an accuracy of 85
    %."""
    baseline_deviation: float = 0.05
    tails: Literal["normal", "t3"] = "normal"
    """Distribution of the seeds."""
    collapse: float = 0.0
    """Share of the baseline seeds that collapse; the others are better, so that the mean is the same."""

    def groups(self) -> np.ndarray | None:
        if not self.num_groups:
            return None
        steps = np.arange(self.num_groups) / max(1, self.num_groups - 1)
        weights = np.ones(self.num_groups) if self.sizes == "equal" else 20**steps
        ends = np.round(np.cumsum(weights) / weights.sum() * self.num_items).astype(int)
        return np.searchsorted(ends, np.arange(self.num_items), side="right")

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Correctness [S, N] of both arms."""
        groups_N, half_gain = self.groups(), self.gain_points / 200

        def effect_N() -> np.ndarray:
            own_N = generator.normal(size=self.num_items)
            if groups_N is None:
                return own_N
            of_groups = generator.normal(size=self.num_groups)[groups_N]
            return mixed(self.shared_in_group, of_groups, own_N)

        hardness_N = effect_N()

        def arm(accuracy: float, deviation: float, collapse: float) -> np.ndarray:
            good = (accuracy - collapse * COLLAPSED_ACCURACY) / (1 - collapse)
            if self.tails == "normal":
                skills_S = skills(good, deviation, generator.normal(size=MAX_SEEDS))
            else:
                skills_S = norm.ppf(good) + deviation * generator.standard_t(3, size=MAX_SEEDS) / 3**0.5
            skills_S[generator.random(MAX_SEEDS) < collapse] = norm.ppf(COLLAPSED_ACCURACY)
            noise_SN = (1 - SHARED - OWN) ** 0.5 * generator.normal(size=(MAX_SEEDS, self.num_items))
            return right_answers(skills_S, SHARED**0.5 * hardness_N + OWN**0.5 * effect_N(), noise_SN)

        return (
            arm(self.accuracy + half_gain, self.transfer_deviation, 0.0),
            arm(self.accuracy - half_gain, self.baseline_deviation, self.collapse),
        )


def worlds() -> Iterator[World]:
    for items, deviation in product((50, 200, 700, 2000), (0.0, 0.05, 0.15, 0.3)):
        yield World("plain", items, transfer_deviation=deviation, baseline_deviation=deviation)
    for (items, groups), sizes, shared in product(
        ((40, 2), (100, 5), (200, 10), (300, 15), (400, 20), (700, 35), (2000, 100)), ("equal", "unequal"), (0.5, 1.0)
    ):
        yield World("groups", items, groups, sizes, shared)
    for accuracy, items, gain in product((0.95, 0.98, 0.99, 0.995), (20, 50, 200), (0.0, 2 * MARGIN_POINTS)):
        if accuracy + gain / 200 < 1:
            yield World("ceiling", items, accuracy=accuracy, gain_points=gain)
    for items in (200, 700, 2000):
        yield World("seeds", items, transfer_deviation=0.02, baseline_deviation=0.15)
        yield World("seeds", items, transfer_deviation=0.02, baseline_deviation=0.3)
        yield World("seeds", items, transfer_deviation=0.15, baseline_deviation=0.15, tails="t3")
        yield World("seeds", items, transfer_deviation=0.02, baseline_deviation=0.3, tails="t3")
        yield World("seeds", items, collapse=0.1)


def examined(world: World, num_draws: int) -> dict[str, float]:
    generator = np.random.default_rng(
        crc32(repr(world).encode())
    )  # separate draws per world, so that errors average out
    found = {"coverage": 0.0, "positive": 0.0, "negative": 0.0, "equivalent": 0.0, "inconclusive": 0.0}
    num_pairs, num_seen, num_negative_seen, detectable = 0, 0, 0, []
    groups_N = world.groups()
    for _ in range(num_draws):
        transfer_SN, baseline_SN = world.draw(generator)
        components = gain_components(100 * transfer_SN, 100 * baseline_SN, groups_N=groups_N, span=100)
        interval = components.interval(ALPHA)
        found["coverage"] += interval.low <= world.gain_points <= interval.high
        verdict, number = verdict_with_interim_analyses(transfer_SN, baseline_SN, groups_N)
        found[verdict] += 1
        num_pairs += number
        is_seen = bool(collapsed_seeds(range(number), baseline_SN[:number].mean(axis=1), COLLAPSED_ACCURACY))
        num_seen += is_seen
        num_negative_seen += is_seen and verdict == "negative"
        if world.kind == "plain" and len(detectable) < 50:
            detectable.append(components.smallest_detectable(ALPHA))
    row = {name: 100 * number / num_draws for name, number in found.items()} | {"pairs": num_pairs / num_draws}
    if world.collapse:
        row |= {"seen": 100 * num_seen / num_draws, "negative_seen": 100 * num_negative_seen / num_seen}
    if world.kind == "plain":
        row |= _of_gains(world, float(np.mean(detectable)), num_draws, generator)
    return row


def verdict_with_interim_analyses(
    transfer_SN: np.ndarray, baseline_SN: np.ndarray, groups_N: np.ndarray | None
) -> tuple[str, int]:
    """Verdict, and the number of pairs of seeds that were trained for it."""
    all_components: list[VarianceComponents] = []
    for number in range(FEWEST_PAIRS, len(transfer_SN) + 1):
        ours_SN, theirs_SN = transfer_SN[:number], baseline_SN[:number]
        all_components.append(gain_components(100 * ours_SN, 100 * theirs_SN, groups_N=groups_N, span=100))
        level, is_last = level_of(all_components, len(transfer_SN), ALPHA)
        better = improvement(ours_SN, theirs_SN, groups_N=groups_N, alpha=level)
        verdict = verdict_of_all(all_components[-1].interval(level), better, None, MARGIN_POINTS)
        if verdict != "inconclusive" or is_last:
            break
    return verdict, number


def _of_gains(world: World, detectable_points: float, num_draws: int, generator: np.random.Generator) -> dict:
    """Gains as large as can be detected, and smaller ones that are seldom found."""
    most = 200 * (1 - world.accuracy) - 2
    gain = min(detectable_points, most)
    share, _ = _found(replace(world, gain_points=gain), num_draws, generator)
    smaller = gain * (norm.ppf(SELDOM_FOUND) + norm.ppf(1 - ALPHA / 2)) / (norm.ppf(0.8) + norm.ppf(1 - ALPHA / 2))
    _, all_components = _found(replace(world, gain_points=smaller), num_draws, generator)
    sizes = [(components.mean, components.unexaggerated(ALPHA)) for components in all_components]
    reported, corrected = np.mean(sizes, axis=0) / smaller if sizes else (np.nan, np.nan)
    return {"gain": gain, "found": 100 * share, "times": reported, "times_corrected": corrected}


def _found(world: World, num_draws: int, generator: np.random.Generator) -> tuple[float, list[VarianceComponents]]:
    """Share of draws in which the mean gain is surely positive, five seeds and one analysis; and their components."""
    all_components = []
    for _ in range(num_draws):
        transfer_SN, baseline_SN = world.draw(generator)
        components = gain_components(100 * transfer_SN, 100 * baseline_SN, groups_N=world.groups(), span=100)
        all_components += [components] if components.interval(ALPHA).low > 0 else []
    return len(all_components) / num_draws, all_components


def in_words(world: pd.Series) -> str:
    """Description of a world within its kind, without its test items."""
    points = {0.0: "0", 0.02: "0.5", 0.05: "1.2", 0.15: "3.5", 0.3: "7"}
    if world["kind"] == "plain":
        return f"seeds differ by {points[world['baseline_deviation']]} points"
    if world["kind"] == "groups":
        shared = "all" if world["shared_in_group"] == 1 else "half"
        return f"groups of {world['sizes']} sizes, {shared} of the item effect shared"
    if world["kind"] == "ceiling":
        return f"accuracy {100 * world['accuracy']:g} %, true gain {world['gain_points']:g} points"
    if world["collapse"]:
        return "one in ten baseline runs collapses, same mean"
    tails = ", heavy tails" if world["tails"] == "t3" else ""
    ours, theirs = points[world["transfer_deviation"]], points[world["baseline_deviation"]]
    return f"transfer seeds differ by {ours}, baseline seeds by {theirs} points{tails}"


def tables(worlds: pd.DataFrame) -> str:
    """Markdown: one table per kind, in which worlds that differ only in their test items share a row; then power and
    exaggeration of the plain worlds, and the frequency of an observed collapse."""
    columns = {"coverage": "coverage of the interval", "positive": "positive", "negative": "negative"}
    columns |= {"equivalent": "equivalent", "pairs": "pairs"}
    shown = [_table(of_kind, columns) for _, of_kind in worlds.groupby("kind", sort=False)]
    gains = {
        "gain": "gain, points",
        "found": "found",
        "times": "reported / true",
        "times_corrected": "corrected / true",
    }
    seen = {"seen": "a collapse is observed", "negative_seen": "of these, still negative"}
    for some in (gains, seen):
        if set(some) <= set(worlds.columns):
            shown.append(_table(worlds[worlds[list(some)].notna().all(axis=1)], some))
    return "\n\n".join(shown)


def _table(worlds: pd.DataFrame, columns: dict[str, str]) -> str:
    lines = [f"| {' | '.join(['world', 'test items', *columns.values()])} |", "|---" * (len(columns) + 2) + "|"]
    for words, rows in worlds.groupby(worlds.apply(in_words, axis=1), sort=False):
        cells = [", ".join(f"{value:.{2 if 'times' in name else 1}f}" for value in rows[name]) for name in columns]
        lines.append(f"| {' | '.join([words, ', '.join(rows.apply(_items, axis=1)), *cells])} |")
    return "\n".join(lines)


def _items(world: pd.Series) -> str:
    groups = f" in {world['num_groups']:.0f}" if world["num_groups"] else ""
    return f"{world['num_items']:.0f}{groups}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", default=["plain", "groups", "ceiling", "seeds"])
    arguments = parser.parse_args()
    known = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame({"kind": []})
    kept, rows = known[~known["kind"].isin(arguments.kinds)], []
    chosen = [world for world in worlds() if world.kind in arguments.kinds]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for world, found in zip(chosen, pool.map(examined, chosen, repeat(arguments.draws)), strict=True):
            rows.append(asdict(world) | {"draws": arguments.draws} | found)
            pd.concat([kept, pd.DataFrame(rows).round(3)]).to_csv(TABLE, index=False)
            print(
                " ".join(
                    f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in rows[-1].items()
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
