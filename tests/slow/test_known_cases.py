"""Whether the verdict says what it must where that is known: a test a case of `benchmarks/cases.py`."""

import math
from pathlib import Path

import pytest
from conftest import run, succeed

from benchmarks.cases import CASES, Case
from benchmarks.known_cases import compared_without_groups, make_project, run_case, width
from graft.transfer.rejected import RejectedSources
from graft.transfer.verdict import Verdict

BY_NAME = {case.name: case for case in CASES}


@pytest.fixture
def found(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Verdict, str]:
    """The verdict of the case that the test names, and its report."""
    verdict = run_case(BY_NAME[request.param], tmp_path / "project")
    return verdict, (tmp_path / "project" / "artifacts" / "report.html").read_text()


def case(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("found", [name], indirect=True)


@case("imagenet")
def test_a_source_that_helps_where_labels_are_few_is_found_to(found: tuple[Verdict, str]) -> None:
    assert found[0].verdict == "positive"


@case("digits")
def test_the_unharmed_source_does_no_harm_where_the_harmed_ones_below_may(found: tuple[Verdict, str]) -> None:
    assert found[0].verdict != "negative"


@case("shuffled")
def test_a_source_of_which_nothing_is_left_but_the_sizes_of_its_numbers_is_not_found_to_help(
    found: tuple[Verdict, str],
) -> None:
    assert found[0].verdict != "positive"


@case("memorised")
def test_a_source_that_learned_wrong_labels_by_heart_is_found_to_do_harm_and_not_exported(
    found: tuple[Verdict, str], tmp_path: Path
) -> None:
    assert found[0].verdict == "negative"
    assert found[0].is_rejected
    assert [path.name for path in (tmp_path / "project" / "artifacts" / "onnx").iterdir()] == ["REFUSED.txt"]


@case("far")
def test_a_far_source_gets_a_verdict_with_an_interval_and_its_n(found: tuple[Verdict, str]) -> None:
    verdict, report = found
    gain = verdict.gain_points
    assert -100 < gain.low < gain.mean < gain.high < 100
    assert math.isfinite(verdict.mcnemar_p)
    assert gain.in_points in verdict.claim
    assert (verdict.num_seeds, verdict.num_test) == (len(verdict.gain_points_per_seed), BY_NAME["far"].num_test)
    assert f"{verdict.num_test:,} test items" in report


@case("alike")
def test_two_arms_from_random_weights_by_the_same_recipe_get_no_verdict(found: tuple[Verdict, str]) -> None:
    assert found[0].verdict in ("inconclusive", "equivalent")


@case("series")
def test_identical_arms_on_images_in_series_get_no_verdict(found: tuple[Verdict, str], tmp_path: Path) -> None:
    verdict = found[0]
    assert verdict.verdict in ("inconclusive", "equivalent")
    _assert_that_groups_count(verdict, BY_NAME["series"], tmp_path / "project")


@case("imagenet_series")
def test_a_source_that_helps_does_no_harm_on_images_in_series_and_its_interval_counts_the_series(
    found: tuple[Verdict, str], tmp_path: Path
) -> None:
    verdict = found[0]
    assert verdict.verdict != "negative"
    _assert_that_groups_count(verdict, BY_NAME["imagenet_series"], tmp_path / "project")


def _assert_that_groups_count(verdict: Verdict, case: Case, project: Path) -> None:
    """Each group is one unit, and intervals are wider than those of as many independent items would be.

    Three pairs of runs leave most of the mean gain's interval to the luck of training, which groups do not change;
    models that ship are compared on items alone.
    """
    assert case.series is not None
    assert (verdict.num_test, verdict.num_units) == (case.num_test * case.series.length, case.num_test)
    ungrouped = compared_without_groups(project, verdict)
    assert ungrouped.num_units == verdict.num_test
    assert ungrouped.gain_points.mean == pytest.approx(verdict.gain_points.mean)
    assert width(verdict.gain_points) > width(ungrouped.gain_points)
    assert ungrouped.shipped_gain_points is not None
    assert ungrouped.shipped_gain_points.mean == pytest.approx(verdict.shipped_gain_points.mean)
    assert width(verdict.shipped_gain_points) > 1.5 * width(ungrouped.shipped_gain_points)


def test_the_flow_goes_on_to_the_next_source_where_the_first_does_harm(tmp_path: Path) -> None:
    """Both do: which of them comes first is a toss-up."""
    project, both = tmp_path / "project", [BY_NAME["memorised"], BY_NAME["shuffled"]]
    make_project(both, project, {"check_transfer": {"on_negative": "next_source"}})
    succeed(project, "dvc", "add", "--quiet", "data")
    done = run(project, "python", "-m", "flows.retrain")
    assert done.returncode == 3, done.stdout + done.stderr
    first = RejectedSources.load(project / "rejected_sources.json").rejected
    assert len(first) == 1
    assert f"Negative transfer: starting from {first[0].source} is worse" in first[0].claim
    last = Verdict.load(project / "artifacts" / "verdict.json")
    (other,) = {case.source_name for case in both} - {first[0].source}
    assert f"Negative transfer: starting from {other} is worse" in last.claim
    assert last.decision.startswith("No further source is tried")


def test_every_known_case_has_its_test() -> None:
    text = Path(__file__).read_text()
    assert len(CASES) == 8
    assert all(f'@case("{name}")' in text for name in BY_NAME)
