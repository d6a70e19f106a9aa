"""The search of learning rates, as a data scientist turns it on."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from conftest import SMALL, run_stages, succeed, write_params

from graft.experiment.result import ArmResult


def test_a_search_finds_settings_on_validation_data_and_says_so(
    finished: Path, copy_of: Callable[[Path], Path]
) -> None:
    assert (finished / "artifacts/finetune/search.csv").read_text().splitlines() == [
        "trial,backbone_learning_rate,head_ratio,outcome,validation_loss,by_epoch"
    ]
    project = copy_of(finished)
    limits = {"search_s": 3600, "search_trials": 3}
    write_params(project, SMALL | {"arms": SMALL["arms"] | limits, "finetune": SMALL["finetune"] | {"find_rate": True}})
    stale = succeed(project, "dvc", "status", "select", "finetune", "baseline")
    assert "select:" not in stale
    assert {"finetune:", "baseline:"} <= set(stale.split())

    said = run_stages(project, "finetune")
    assert "rate finder suggests backbone_learning_rate: " in said
    trials = pd.read_csv(project / "artifacts/finetune/search.csv")
    assert list(trials["trial"]) == [1, 2, 3]
    assert trials["backbone_learning_rate"][0] == 0.001
    best = trials.loc[trials["validation_loss"].idxmin()]
    result = ArmResult.load(project / "artifacts/finetune/result.json")
    assert result.num_trials == 3
    assert str(result.settings["search"]).startswith("3 trials")
    assert f"learning rates {best['backbone_learning_rate']:g} and" in str(result.settings["phases"])

    again = run_stages(project, "finetune")
    assert "trial 1" not in again
    assert again.count("already trained, kept") == 2
    assert "trial 3" in run_stages(project, "baseline")
