from pathlib import Path
from typing import get_args

import pytest
import yaml

from graft.core import params_page
from graft.core.choices import Method
from graft.core.errors import ParamsError
from graft.core.params_file import load_params
from graft.training.methods import METHODS

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def _with(tmp_path: Path, section: str, shipped: Path = SHIPPED, **values: object) -> Path:
    params = yaml.safe_load(shipped.read_text())
    params[section] |= values
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def test_the_shipped_params_are_valid() -> None:
    assert load_params(SHIPPED).arms.seeds == [0, 1]


def test_a_key_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"finetune\.num_epoch: no such key"):
        load_params(_with(tmp_path, "finetune", num_epoch=3))


def test_a_value_out_of_range_is_named_with_its_bound(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"ingest\.test_fraction: .*less than or equal to 0\.5 \(found: 0\.9\)"):
        load_params(_with(tmp_path, "ingest", test_fraction=0.9))


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    path = _with(tmp_path, "inputs", views=["upside_down"])
    path = _with(tmp_path, "arms", path, seeds=[1], batch_size="many")
    with pytest.raises(ParamsError, match="3 mistake") as caught:
        load_params(path)
    for key in ("arms.seeds", "arms.batch_size", "inputs.views.0"):
        assert key in str(caught.value)


def test_fractions_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="less than 30 %"):
        load_params(_with(tmp_path, "ingest", test_fraction=0.5, validation_fraction=0.4))


def test_repeated_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"arms\.seeds: .*repeats a value"):
        load_params(_with(tmp_path, "arms", seeds=[0, 1, 1]))


def test_repeated_views_and_augmentation_without_views_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"inputs\.views: .*repeats a value"):
        load_params(_with(tmp_path, "inputs", views=["identity", "identity"]))
    with pytest.raises(ParamsError, match=r"inputs: .*augmentation is photos and num_augmented_views 0"):
        load_params(_with(tmp_path, "inputs", augmentation="photos"))


@pytest.mark.parametrize("key", ["image_size_px", "views", "augmentation", "num_augmented_views"])
def test_a_key_of_an_older_params_yaml_is_told_where_it_belongs_now(tmp_path: Path, key: str) -> None:
    with pytest.raises(ParamsError, match=rf"arms\.{key}: this is inputs\.{key} now"):
        load_params(_with(tmp_path, "arms", **{key: 160}))


@pytest.mark.parametrize(("name", "found"), [("text", "'text'"), (None, "None")])
def test_a_modality_that_there_is_not_is_named(tmp_path: Path, name: str | None, found: str) -> None:
    with pytest.raises(ParamsError, match=rf"inputs\.modality: must be 'image' \(found: {found}\)"):
        load_params(_with(tmp_path, "inputs", modality=name))


def test_params_without_a_modality_are_refused(tmp_path: Path) -> None:
    params = yaml.safe_load(SHIPPED.read_text())
    del params["inputs"]["modality"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=r"inputs\.modality: this key is missing"):
        load_params(tmp_path / "params.yaml")


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("ingest: [")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(path)


def test_params_know_every_method_of_adaptation() -> None:
    assert get_args(Method) == METHODS


def test_a_number_of_trials_without_seconds_to_search_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"arms: .*search_trials is 5, but search_s is 0"):
        load_params(_with(tmp_path, "arms", search_trials=5))
    assert load_params(_with(tmp_path, "arms", search_trials=5, search_s=60)).arms.search_trials == 5


def test_the_page_of_the_params_is_what_the_models_say() -> None:
    page = (SHIPPED.parent / params_page.PAGE).read_text()
    assert page == params_page.with_table(page, yaml.safe_load(SHIPPED.read_text()))
    assert page.count("\n| `") > 80
    assert "|  |" not in page  # each key has a meaning
