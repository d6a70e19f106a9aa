"""Change against the data of the last accepted run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from graft.core.errors import ContentChangedError
from graft.project import Project
from graft.validation.change import (
    DataSummary,
    chance_threshold,
    compare,
    load_accepted,
    merged_bins,
    stability_index,
    summarise_data,
)  # fmt: skip
from graft.validation.result import ChangedQuantity

ALPHA, MIN_PSI, NUM_DRAWS = 0.05, 0.1, 1500
POPULATIONS = {
    "bell": np.diff(norm.cdf(np.linspace(-4, 4, 51))),
    "hardly ever another": np.array([0.97, *[0.03 / 20] * 20]),
    "rare class": np.array([0.9, 0.09, 0.01]),
    "many classes": 1 / np.arange(1, 60),
}


@pytest.mark.parametrize("num_accepted", [2_000, 100_000])
@pytest.mark.parametrize("num_compared", [20, 100, 1_000, 10_000])
@pytest.mark.parametrize("population", POPULATIONS)
def test_unchanged_data_raise_an_alarm_as_often_as_alpha_says(
    population: str, num_compared: int, num_accepted: int
) -> None:
    rates = _alarm_rates(POPULATIONS[population], POPULATIONS[population], num_compared, num_accepted)
    assert rates["judged"] < ALPHA + 0.02
    assert rates["by chance"] < ALPHA + 0.04  # two bins and small counts: the law is coarse, and min_psi stands above


def test_a_fixed_limit_would_cry_wolf_on_small_samples() -> None:
    rates = _alarm_rates(POPULATIONS["bell"], POPULATIONS["bell"], 100, 2_000)
    assert rates["fixed"] > 0.3
    assert rates["judged"] < 0.075


@pytest.mark.parametrize("num_compared", [100, 1_000, 10_000])
def test_a_real_shift_is_found(num_compared: int) -> None:
    shifted = np.diff(norm.cdf(np.linspace(-5, 3, 51)))
    assert _alarm_rates(shifted, POPULATIONS["bell"], num_compared, 2_000)["judged"] > 0.99


def test_a_first_run_is_compared_with_nothing() -> None:
    changes = _compare(_summary(100), None)
    assert {change.details for change in changes.values()} == {"no accepted run yet"}
    assert {change.statistic for change in changes.values()} == {0}
    assert not any(change.is_judged for change in changes.values())


def test_the_same_data_have_not_changed() -> None:
    assert all(change.is_judged for change in _compare(_summary(100), _summary(100)).values())
    changes = _compare(_summary(100), _summary(100))
    assert {change.statistic for change in changes.values()} == {0}
    assert changes["width"].details == "as in the accepted run"


def test_new_and_missing_classes_are_named() -> None:
    changes = _compare(_summary(1000, labels=("cat", "emu")), _summary(1000, labels=("cat", "dog")))
    assert (changes["new_classes"].statistic, changes["new_classes"].details) == (1, "'emu' (500 samples)")
    assert (changes["missing_classes"].statistic, changes["missing_classes"].details) == (1, "'dog' (500 samples)")
    assert changes["label_share"].statistic > changes["label_share"].threshold
    assert "dog: 50.0% -> 0.0%" in changes["label_share"].details


def test_other_data_altogether_are_no_loss_of_classes() -> None:
    changes = _compare(_summary(1000, labels=("emu", "yak")), _summary(1000, labels=("cat", "dog")))
    assert changes["new_classes"].statistic == 2
    assert changes["missing_classes"].statistic == 0
    assert "entirely different classes" in changes["width"].details


def test_lost_samples_are_counted() -> None:
    changes = _compare(_summary(750), _summary(1000))
    assert changes["lost_samples"].statistic == pytest.approx(0.25)
    assert changes["lost_samples"].details == "750 samples, 1,000 in the accepted run"


def test_a_few_changed_arrivals_do_not_drown_in_many_old_samples() -> None:
    old, arrived = _rows(20_000), _rows(200, width=400, seed=9)
    changes = _compare(_summarised(pd.concat([old, arrived])), _summarised(old))
    assert changes["width"].num_compared == 200
    assert changes["width"].statistic > 1
    assert "200 arrivals against 20,000 accepted" in changes["width"].details
    assert "-> 100.0%" in changes["width"].details
    assert changes["label_share"].statistic <= changes["label_share"].threshold


def test_arrivals_are_seen_even_if_a_few_old_samples_were_taken_out() -> None:
    old, arrived = _rows(20_000), _rows(400, width=400, seed=9)
    changes = _compare(_summarised(pd.concat([old[10:], arrived])), _summarised(old))
    assert changes["width"].statistic > changes["width"].threshold


def test_when_many_were_removed_all_samples_are_compared() -> None:
    old = _rows(2_000)
    changes = _compare(_summarised(old[:1_000]), _summarised(old))
    assert changes["brightness"].num_compared == 1_000
    assert "1,000 samples against 2,000 accepted" in changes["brightness"].details
    assert changes["brightness"].statistic <= changes["brightness"].threshold


def test_a_handful_of_arrivals_is_not_judged() -> None:
    old, arrived = _rows(2_000), _rows(7, width=400, seed=9)
    changes = _compare(_summarised(pd.concat([old, arrived])), _summarised(old))
    assert changes["width"].details == "not judged: 7 arrivals against 2,000 accepted are too few"
    assert changes["width"].statistic == 0


def test_a_size_that_only_some_arrivals_have_is_found() -> None:
    old = _rows(2_624, width=300)
    arrived = pd.concat([_rows(80, width=300, seed=8), _rows(20, width=600, seed=9)])
    changes = _compare(_summarised(pd.concat([old, arrived])), _summarised(old))
    assert changes["width"].statistic > changes["width"].threshold
    assert "from 558.3: 0.0% -> 20.0%" in changes["width"].details


def test_samples_that_are_not_used_do_not_count() -> None:
    rows = _rows(100)
    rows.loc[rows.index[:40], "is_usable"] = 0
    assert _summarised(rows).num_samples == sum(_summarised(rows).widths.values()) == 60


def test_the_accepted_summary_is_read_back_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accepted_data.json"
    assert load_accepted(path) is None
    _summary(100).save(path)
    assert load_accepted(path) == _summary(100)
    path.write_text('{"num_samples": 3}')
    with pytest.raises(ContentChangedError, match=r"git checkout -- accepted_data\.json"):
        load_accepted(path)


def test_a_flow_accepts_the_data_of_its_run(tmp_path: Path) -> None:
    from flows.effects import accept_data

    project = Project(tmp_path)
    project.save(_summary(100))
    accept_data.fn(project)
    assert load_accepted(tmp_path / "accepted_data.json") == _summary(100)


def _alarm_rates(compared: np.ndarray, accepted: np.ndarray, num_compared: int, num_accepted: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    firsts = rng.multinomial(num_compared, compared / compared.sum(), NUM_DRAWS)
    seconds = rng.multinomial(num_accepted, accepted / accepted.sum(), NUM_DRAWS)
    alarms = {"fixed": 0, "by chance": 0, "judged": 0}
    for first, second in zip(firsts, seconds, strict=True):
        group = merged_bins(first, second, 10 if len(compared) == 50 else 50)
        counts = np.bincount(group, first), np.bincount(group, second)
        if len(counts[0]) < 2:
            continue
        statistic = stability_index(*counts)
        threshold = chance_threshold(num_compared, num_accepted, len(counts[0]), ALPHA)
        alarms["fixed"] += statistic > MIN_PSI
        alarms["by chance"] += statistic > threshold
        alarms["judged"] += statistic > max(MIN_PSI, threshold)
    return {name: count / NUM_DRAWS for name, count in alarms.items()}


def _rows(
    num: int, *, labels: tuple[str, ...] = ("cat", "dog"), width: int | None = None, seed: int = 0
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    widths = rng.integers(200, 301, num) if width is None else np.full(num, width)
    return pd.DataFrame(
        {
            "is_usable": 1, "label": [labels[index % len(labels)] for index in range(num)], "width": widths,
            "height": 300, "brightness": rng.beta(4, 4, num),
        }
    )  # fmt: skip


def _summarised(rows: pd.DataFrame) -> DataSummary:
    return summarise_data(rows, "0" * 64)


def _summary(num: int, labels: tuple[str, ...] = ("cat", "dog")) -> DataSummary:
    return _summarised(_rows(num, labels=labels))


def _compare(current: DataSummary, accepted: DataSummary | None) -> dict[str, ChangedQuantity]:
    changes = compare(current, accepted, alpha=0.01, min_psi=MIN_PSI)
    return {change.quantity: change for change in changes}
