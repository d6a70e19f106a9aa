"""Looking again after every further pair of seeds: what it may cost in false verdicts, and what it saves."""

import numpy as np
import pytest
from scipy.stats import norm

from graft.transfer import looks
from graft.transfer.compare import gain_spread
from graft.transfer.looks import first_look, level_of, levels, look
from graft.transfer.spread import Spread


def _draw(generator: np.random.Generator, num_seeds: int, num_items: int, seed_deviation: float) -> np.ndarray:
    skill_S1 = generator.normal(1.0, seed_deviation, size=(num_seeds, 1))
    return (generator.normal(size=(num_seeds, num_items)) < skill_S1).astype(float)


def _spread(of_seeds: float, of_units: float, num_seeds: int) -> Spread:
    return Spread(0.0, (-1.0, 1.0), (of_seeds, of_seeds), of_units, (0.0, 0.0), num_seeds, 50, 50)


def test_the_bounds_are_the_published_ones() -> None:
    """Five looks at equal steps, 5 % two-sided, the spending function like O'Brien and Fleming's: Lan and DeMets 1983;
    the R package gsDesign gives the same."""
    bounds = norm.isf(np.array(levels((0.2, 0.4, 0.6, 0.8, 1.0), 0.05)) / 2)
    assert bounds == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=1e-3)


def test_a_single_look_has_all_of_alpha() -> None:
    assert levels((1.0,), 0.03) == pytest.approx([0.03])
    transfer, baseline = np.random.default_rng(0).integers(0, 2, size=(2, 3, 50))
    only = look(transfer, baseline, num_first=3, max_seeds=3, margin_points=0, alpha=0.03)
    assert only.level == pytest.approx(0.03)
    assert not only.goes_on


def test_something_is_left_for_every_look_however_much_the_first_seems_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_is_last", lambda spread, max_seeds, _alpha: spread.num_seeds == max_seeds)
    monkeypatch.setattr(looks, "_information", lambda _spread, _max_seeds: 0.9999)
    spreads = [_spread(1.0, 1.0, number) for number in range(2, 16)]
    found = [level_of(spreads[: number + 1], 15, 0.05) for number in range(len(spreads))]
    assert all(0 < level < 0.05 for level, _ in found)
    assert [is_last for _, is_last in found] == [False] * 13 + [True]


def test_where_the_items_are_nearly_all_the_luck_no_seed_is_added() -> None:
    of_items = _spread(1e-6, 100.0, 2)
    assert level_of([of_items], 5, 0.04) == (pytest.approx(0.03), True)
    of_seeds = _spread(1.0, 1e-6, 2)
    level, is_last = level_of([of_seeds], 5, 0.05)
    assert not is_last
    assert level < 0.03


def test_a_clear_gain_is_decided_by_the_first_look_and_an_open_one_goes_on_to_the_last() -> None:
    generator = np.random.default_rng(0)
    better, worse = (_draw(generator, 5, 600, 0.1) for _ in range(2))
    worse[:, :150] = 0
    first = look(better[:3], worse[:3], num_first=3, max_seeds=5, margin_points=0, alpha=0.05)
    assert (first.comparison.verdict, first.goes_on) == ("positive", False)
    one, other = (_draw(generator, 5, 600, 0.3) for _ in range(2))
    went_on = [
        look(one[:number], other[:number], num_first=3, max_seeds=5, margin_points=0, alpha=0.05).goes_on
        for number in range(3, 6)
    ]
    assert went_on == [True, True, False]


def test_the_first_look_waits_for_three_pairs_unless_fewer_are_all_there_may_be() -> None:
    assert first_look(2, 5) == first_look(3, 5) == 3
    assert first_look(4, 5) == 4
    assert first_look(2, 2) == 2


@pytest.mark.parametrize("seed_deviation", [0.02, 0.15])
def test_identical_arms_seldom_get_a_verdict_however_often_they_are_looked_at(seed_deviation: float) -> None:
    generator = np.random.default_rng(1)
    num_draws, num_false = 400, 0
    for _ in range(num_draws):
        one, other = (_draw(generator, 5, 100, seed_deviation) for _ in range(2))
        spreads: list[Spread] = []
        for number in range(3, 6):
            spreads.append(gain_spread(one[:number], other[:number], span=1))
            level, is_last = level_of(spreads, 5, 0.05)
            if abs((one[:number] - other[:number]).mean()) > spreads[-1].half_width(level):
                num_false += 1
                break
            if is_last:
                break
    assert num_false <= 0.1 * num_draws  # where the true share is 5 %, this happens once in 50,000
