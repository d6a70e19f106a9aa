"""What `auto` stands for."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import few_labels
from graft.core.config import FinetuneParams, Params
from graft.core.params_file import load_params
from graft.experiment.recipes import finetune_recipe
from graft.statistics.intervals import mean_interval
from graft.training.defaults import (
    MIN_STEPS,
    TABLE,
    auto_in_words,
    default_blocks,
    default_epochs,
    default_for,
    default_rate,
    resolve_auto,
)
from graft.training.recipe import num_steps_of


def _params(**finetune: Any) -> Params:
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    return params.model_copy(update={"finetune": params.finetune.model_copy(update=finetune)})


def _data(samples_per_class: int) -> dict[str, int]:
    return {"num_train": 2 * samples_per_class, "num_classes": 2}


def test_the_table_has_an_answer_for_every_number_of_samples_and_gives_it_in_order() -> None:
    bounds = [row.up_to for row in TABLE]
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    for row in TABLE[:-1]:
        assert default_for(row.up_to) == row
        assert default_for(row.up_to + 0.01) != row


@pytest.mark.parametrize("samples_per_class", [5, 20, 100, 1000])
def test_the_shipped_params_leave_method_blocks_and_epochs_to_the_data(samples_per_class: int) -> None:
    params, data = _params(), _data(samples_per_class)
    found = resolve_auto(params, **data).finetune
    row = default_for(samples_per_class)
    assert (found.method, found.num_trained_blocks) == (row.method, default_blocks(row.method))
    assert found.backbone_learning_rate == default_rate(row.method)
    assert found.batchnorm_statistics == row.batchnorm_statistics
    assert "auto" not in found.model_dump().values()
    said = auto_in_words(params, **data)
    assert said.startswith(
        "method, num_epochs, probe_epochs, num_trained_blocks, backbone_learning_rate, batchnorm_statistics ("
    )
    assert f"{samples_per_class} training samples per class" in said


def test_few_samples_are_gone_through_more_often() -> None:
    for samples_per_class in (3, 10, 50):
        params = resolve_auto(_params(method="partial"), **_data(samples_per_class))
        assert num_steps_of(finetune_recipe(params, num_blocks=10), 2 * samples_per_class) >= MIN_STEPS
    assert default_epochs(100_000, batch_size=16) == 6


def test_what_is_set_stays_as_it_is() -> None:
    own = {
        "method": "full",
        "num_epochs": 2,
        "probe_epochs": 1,
        "num_trained_blocks": None,
        "backbone_learning_rate": 0.002,
        "batchnorm_statistics": "target",
    }
    params, data = _params(**own), _data(5)
    assert resolve_auto(params, **data) == params
    assert auto_in_words(params, **data) == "nothing"
    found = resolve_auto(_params(num_epochs=9, num_trained_blocks=None), **data).finetune
    assert (found.num_epochs, found.probe_epochs, found.num_trained_blocks) == (9, 6, None)


@pytest.mark.parametrize(
    ("method", "num_blocks", "rate"), [("partial", 6, 1e-3), ("lora", None, 1e-3), ("full", None, 3e-4)]
)
def test_blocks_and_rate_follow_the_method_that_is_set(method: str, num_blocks: int | None, rate: float) -> None:
    for samples_per_class in (5, 1000):
        found = resolve_auto(_params(method=method), **_data(samples_per_class)).finetune
        assert (found.num_trained_blocks, found.backbone_learning_rate) == (num_blocks, rate)


def test_a_share_of_the_way_from_a_trained_head_is_refused_while_the_method_is_left_to_auto() -> None:
    finetune = _params().finetune.model_dump() | {"wise_ft_share": 0.5}
    with pytest.raises(ValueError, match="with method auto there is no trained head"):
        FinetuneParams.model_validate(finetune)


def test_few_labels_get_the_way_that_the_benchmark_separates_from_the_others() -> None:
    rows = pd.read_csv(few_labels.TABLE)
    of_auto = rows[rows["way"] == "full, rate / 3"]
    assert default_for(100).method == "full"
    assert default_rate("full") == few_labels.VARIANTS["full, rate / 3"].finetune["backbone_learning_rate"]
    assert default_for(100).batchnorm_statistics == few_labels.SETTLED["batchnorm_statistics"]
    assert set(of_auto["labels_per_class"]) == {5, 20, 100}
    keys = ["dataset", "draw"]
    for (source, labels_per_class), cells in of_auto.groupby(["source", "labels_per_class"]):
        same = rows[(rows["source"] == source) & (rows["labels_per_class"] == labels_per_class)]
        partial = same[same["way"] == "partial"].set_index(keys)["accuracy"]
        gains = (cells.set_index(keys)["accuracy"] - partial).dropna().to_numpy()
        interval = mean_interval(gains, confidence=0.95)
        assert interval.mean > 0
        assert interval.low > 0 or len(gains) < 12
