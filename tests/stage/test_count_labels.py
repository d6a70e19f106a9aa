"""Both arms with fewer labels, on 240 real cells."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import SMALL, run_stages, write_params

from graft.data.manifest import read_manifest, usable_samples
from graft.data.units import sampling_units
from graft.experiment.result import ArmResult
from graft.transfer.labels_saved import LabelsSaved

CopyOf = Callable[[Path], Path]
LABELS = Path("artifacts/labels")


def test_both_arms_are_trained_with_fewer_labels_and_tested_on_the_same_items(finished: Path) -> None:
    found = LabelsSaved.load_verified(finished / "artifacts", "labels/result.json")
    num_all = ArmResult.load(finished / "artifacts/finetune/result.json").num_train
    half, every = (count.num_labels for count in found.counts)
    assert every == num_all
    assert num_all / 2 <= half <= num_all / 2 + 1
    table = pd.read_parquet(finished / LABELS / "predictions.parquet")
    of_stage = pd.read_parquet(finished / "artifacts/finetune/predictions.parquet")
    for arm in ("transfer", "baseline"):
        of_arm = table[table["arm"] == arm]
        assert set(of_arm["num_labels"]) == {half}
        keys = ["seed", "sample_id", "label"]
        pd.testing.assert_frame_equal(
            of_arm[keys].sort_values(keys, ignore_index=True), of_stage[keys].sort_values(keys, ignore_index=True)
        )
    assert found.needed is not None
    assert found.needed.all == num_all
    test = usable_samples(read_manifest(finished / "artifacts" / "manifest.parquet"), "test")
    assert found.num_test_units == len(set(sampling_units(test)))


def test_the_accuracy_with_all_labels_is_that_of_the_stages(finished: Path) -> None:
    accuracies = pd.read_csv(finished / LABELS / "accuracies.csv")
    assert len(accuracies) == 2 * 2  # numbers of labels, seeds
    with_all = accuracies[accuracies["num_labels"] == accuracies["num_labels"].max()].set_index("seed")
    for arm, folder in (("transfer", "finetune"), ("baseline", "baseline")):
        table = pd.read_parquet(finished / "artifacts" / folder / "predictions.parquet")
        expected = (table["predicted"] == table["label"]).groupby(table["seed"]).mean()
        assert with_all[arm].to_dict() == pytest.approx(expected.to_dict(), abs=1e-6)


@pytest.mark.parametrize(
    ("fractions", "said"), [([], {}), ([0.01], {"0.01": "a class has 1 of 2 training samples"})], ids=["off", "too few"]
)
def test_without_a_fraction_that_can_be_trained_with_nothing_is_trained(
    finished: Path, copy_of: CopyOf, fractions: list[float], said: dict[str, str]
) -> None:
    project = copy_of(finished)
    write_params(project, {**SMALL, "count_labels": {"fractions": fractions}})
    shutil.rmtree(project / ".graft")
    log = run_stages(project, "count_labels")
    found = LabelsSaved.load(project / LABELS / "result.json")
    assert found.needed is None
    assert "both arms were trained with all labels only" in found.claim
    assert found.skipped == said
    assert all(why in log for why in said.values())
    assert not (project / ".graft" / "checkpoints").exists()
    assert len(pd.read_parquet(project / LABELS / "predictions.parquet")) == 0
    run_stages(project, "report")
