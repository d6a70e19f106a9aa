"""The choice of the source on samples that depend on each other: folds, neighbours, intervals, subsamples."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from graft.data.units import sampling_units
from graft.hub.catalogue import load_catalogue
from graft.networks.backbones import build_backbone
from graft.selection import choice
from graft.selection.budget import TimeBudget
from graft.selection.choice import ChoiceSettings, Target, choose_source
from graft.selection.scores import knn_accuracy, linear_probe
from graft.selection.subsample import subsample
from graft.selection.trials import MIN_HELD_OUT, held_out_folds
from graft.statistics.folds import grouped_folds, num_folds_possible
from graft.statistics.intervals import bounded_interval, mean_interval
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe

CATALOGUE = load_catalogue(Path(__file__).parents[2] / "sources.yaml")
NUM_OBJECTS, NUM_COPIES = 30, 3
OBJECTS_N = np.repeat(np.arange(NUM_OBJECTS), NUM_COPIES)
LABELS_N = OBJECTS_N % 2
PROBE = {"num_folds": 5, "num_repeats": 2, "regularisation_strength": 1.0, "seed": 0}


def _rows(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": [f"{place:064x}" for place in range(len(columns["path"]))], **columns})


def test_samples_of_one_group_and_near_duplicates_are_one_unit_directly_or_through_others() -> None:
    rows = _rows(
        path=["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"],
        group=["cell 2", "", "cell 1", "cell 1", "", ""],
        duplicate_of=["", "a.png", "", "a.png", "", ""],
    )
    units = sampling_units(rows)
    assert len(set(units[:4])) == 1
    assert len(set(units)) == 3


def test_a_group_named_like_a_path_is_another_unit() -> None:
    rows = _rows(path=["a.png", "b.png"], group=["", "a.png"], duplicate_of=["", ""])
    assert len(set(sampling_units(rows))) == 2


def test_the_first_of_a_cluster_need_not_be_among_the_rows() -> None:
    rows = _rows(path=["b.png", "c.png"], group=["", ""], duplicate_of=["gone.png", "gone.png"])
    assert len(set(sampling_units(rows))) == 1


def _memory() -> np.ndarray:
    """A source that tells every object from every other, and knows nothing of the classes."""
    return np.random.default_rng(0).normal(size=(NUM_OBJECTS, 64))[OBJECTS_N]


def _sight() -> np.ndarray:
    """A source that sees the class, through much noise."""
    generator = np.random.default_rng(1)
    return (LABELS_N * 2.0 - 1)[:, None] + generator.normal(scale=1.5, size=(len(LABELS_N), 4))


def test_copies_of_an_object_do_not_leak_between_folds_or_among_neighbours() -> None:
    memory, sight = _memory(), _sight()
    assert knn_accuracy(memory, LABELS_N) == 1
    assert linear_probe(memory, LABELS_N, **PROBE).mean() > linear_probe(sight, LABELS_N, **PROBE).mean()
    assert knn_accuracy(memory, LABELS_N, groups_N=OBJECTS_N) < 0.65
    assert linear_probe(memory, LABELS_N, **PROBE, groups_N=OBJECTS_N).mean() < 0.65
    assert linear_probe(sight, LABELS_N, **PROBE, groups_N=OBJECTS_N).mean() > 0.75


def test_the_choice_is_not_decided_by_copies_of_the_same_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    features = {"memory": _memory(), "sight": _sight()}
    sources = [CATALOGUE["mobilenet_v2"].model_copy(update={"name": name}) for name in features]
    monkeypatch.setattr(choice, "load_backbone", lambda source: build_backbone(source.architecture, seed=0))
    monkeypatch.setattr(choice, "distances", lambda *_: {})
    monkeypatch.setattr(
        choice,
        "cached_features",
        lambda source, _backbone, _side, ids, *_: torch.tensor(features[source.name][: len(ids)]),
    )
    settings = ChoiceSettings(
        default="memory", prefer="accuracy", domain=None, licences=["MIT"], max_parameters=None, max_gflops=None,
        num_folds=5, num_repeats=2, regularisation_strength=1, max_finalists=3, trial_rounds=0, trial_steps=2,
        max_cached_bytes=1e9, recipe_of=lambda _: Recipe((Phase(0, 1, 1e-3, 1e-3),), batch_size=8, weight_decay=0),
        confidence=0.8, margin_points=0.0, dropout=0.0, seed=0,
    )  # fmt: skip

    def chosen(groups_N: np.ndarray | None) -> str:
        ids = [f"{place:064x}" for place in range(len(LABELS_N))]
        pictures = torch.zeros(len(ids), 3, 32, 32, dtype=torch.uint8)
        target = Target(ids, LABELS_N, lambda positions: pictures[positions], 32, groups_N)
        fabric = join_processes(torch.device("cpu"))
        return choose_source(sources, target, settings, TimeBudget(1e6), fabric).winner.name

    assert chosen(None) == "memory"
    assert chosen(OBJECTS_N) == "sight"


def test_folds_keep_units_whole_and_test_every_sample_once() -> None:
    folds = grouped_folds(LABELS_N, OBJECTS_N, num_folds=4, seed=0)
    assert len(folds) == 4
    for seen, unseen in folds:
        assert not set(OBJECTS_N[seen]) & set(OBJECTS_N[unseen])
    assert sorted(np.concatenate([unseen for _, unseen in folds])) == list(range(len(LABELS_N)))


def test_a_class_of_two_units_allows_two_folds_and_one_group_of_all_is_refused() -> None:
    labels_N = np.array([0] * 12 + [1] * 6)
    units_N = np.array([*range(12), 20, 20, 20, 21, 21, 21])
    assert num_folds_possible(labels_N, 5, units_N) == 2
    with pytest.raises(ValueError, match="all 18 samples are one group"):
        num_folds_possible(labels_N, 5, np.zeros(18))


def test_a_class_that_lies_in_one_group_counts_as_wrong_and_stops_nothing() -> None:
    labels_N = np.array([0] * 12 + [1] * 12 + [2] * 6)
    units_N = np.array([*range(24), *[99] * 6])
    features_ND = np.eye(3)[labels_N] + 0.01 * np.random.default_rng(0).normal(size=(30, 3))
    accuracies_F = linear_probe(features_ND, labels_N, **PROBE, groups_N=units_N)
    assert np.isfinite(accuracies_F).all()
    assert knn_accuracy(features_ND, labels_N, groups_N=units_N) == pytest.approx(24 / 30)


def test_few_samples_are_all_held_out_once_and_many_in_one_fold() -> None:
    few = held_out_folds(np.arange(60) % 2, np.arange(60), seed=0)
    assert sorted(np.concatenate([held_out for _, held_out in few])) == list(range(60))
    many = held_out_folds(np.arange(1000) % 2, np.arange(1000), seed=0)
    assert len(many) == 1
    assert len(many[0][1]) >= MIN_HELD_OUT
    of_few_groups = held_out_folds(np.arange(1200) % 2, np.arange(1200) // 24, seed=0)
    assert len(np.unique(np.concatenate([held_out for _, held_out in of_few_groups]) // 24)) >= 30


def test_an_interval_counts_groups_not_copies() -> None:
    values_M = np.random.default_rng(0).normal(size=20)
    alone = mean_interval(values_M, confidence=0.95)
    copied = mean_interval(np.repeat(values_M, 9), np.repeat(np.arange(20), 9), confidence=0.95)
    assert copied.model_dump() == pytest.approx(alone.model_dump())
    assert mean_interval(np.repeat(values_M, 9), confidence=0.95).low > alone.low + 0.1


def test_an_interval_of_equal_values_has_a_width() -> None:
    interval = bounded_interval(np.ones(10), bounds=(0, 1), confidence=0.95)
    assert (interval.mean, interval.high) == (1, 1)
    assert 0.6 < interval.low < 0.9


def test_a_subsample_takes_from_every_group_before_it_takes_a_second_time() -> None:
    samples = _rows(
        path=[f"{place:03}.png" for place in range(100)],
        label=["x"] * 100,
        group=["large"] * 91 + [f"small {place}" for place in range(9)],
        duplicate_of=[""] * 100,
    )
    chosen = subsample(samples, 10, min_per_class=1, units_N=sampling_units(samples))
    assert len(chosen) == 10
    assert chosen["group"].nunique() == 10
    assert list(chosen.columns) == list(samples.columns)
