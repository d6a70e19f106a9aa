"""The data of a known case: what benchmarks/known_cases.py writes into its project."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from benchmarks import choice_tasks
from benchmarks.cases import CASES, Case, Series
from benchmarks.known_cases import write_data
from benchmarks.params_changes import merged
from graft.core.config import Params

SMALL = replace(
    next(case for case in CASES if case.name == "series"),
    num_train=3,
    num_validation=2,
    num_test=4,
    series=Series(crops_per_side=3, crop_px=20),
)


@pytest.fixture
def images_NHW(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """In place of the data set of the cases, which would have to be downloaded."""
    images_NHW = np.random.default_rng(0).integers(0, 256, size=(9, 40, 40), dtype=np.uint8)
    monkeypatch.setitem(choice_tasks._read, SMALL.dataset, (images_NHW, np.arange(9) % 2))
    return images_NHW


def _written(case: Case, folder: Path) -> pd.DataFrame:
    write_data(case, folder)
    return pd.read_csv(folder / "labels.csv")


@pytest.mark.usefixtures("images_NHW")
def test_the_crops_of_an_image_form_a_group_with_one_label_in_one_split(tmp_path: Path) -> None:
    table = _written(SMALL, tmp_path / "data")
    by_group = table.groupby("group")
    assert by_group.size().tolist() == 9 * [9]
    assert by_group[["label", "split"]].nunique().eq(1).all(axis=None)
    assert by_group["split"].first().value_counts().to_dict() == {"test": 4, "train": 3, "validation": 2}


def test_crops_lie_on_a_grid_from_edge_to_edge(images_NHW: np.ndarray, tmp_path: Path) -> None:
    table = _written(SMALL, tmp_path / "data")
    crops = [
        np.asarray(Image.open(tmp_path / "data" / path)) for path in table.loc[table["group"] == "elpv_0007", "path"]
    ]
    expected = [images_NHW[7, top : top + 20, left : left + 20] for top in (0, 10, 20) for left in (0, 10, 20)]
    assert np.array_equal(crops, expected)


@pytest.mark.usefixtures("images_NHW")
def test_a_case_without_series_names_no_groups(tmp_path: Path) -> None:
    table = _written(replace(SMALL, series=None), tmp_path / "data")
    assert list(table.columns) == ["path", "label", "split"]
    assert len(table) == 9


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_params_of_every_case_are_valid_with_those_of_the_project(case: Case) -> None:
    shipped = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    changed = Params.model_validate(merged(shipped, case.params))
    assert changed.baseline.longer.max_budget_ratio == 1
    assert changed.baseline.longer.least_improvement == shipped["baseline"]["longer"]["least_improvement"]
