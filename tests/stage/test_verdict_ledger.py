"""What check_transfer keeps of the verdicts on a test split. `finished` has been through `dvc repro`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, run_stages, stage_fails, succeed, write_params

from flows.summary import SCREEN_WIDTH, summarise
from graft.project import Project
from graft.transfer.ledger import Ledger
from graft.transfer.verdict import Verdict


@pytest.fixture
def project(finished: Path, copy_of: Callable[[Path], Path]) -> Path:
    return copy_of(finished)


def _given(project: Path, **check_transfer: Any) -> Verdict:
    """The verdict under other params."""
    write_params(project, {**SMALL, "check_transfer": {**SMALL["check_transfer"], **check_transfer}})
    run_stages(project, "check_transfer")
    return Verdict.load(project / "artifacts" / "verdict.json")


def test_a_verdict_is_kept_with_what_it_was_given_on_and_by_which_commit(project: Path) -> None:
    verdict = Verdict.load(project / "artifacts" / "verdict.json")
    (entry,) = Ledger.load(project / "test_uses.json").given
    assert (entry.verdict, entry.gain_points, entry.alpha) == (verdict.verdict, verdict.gain_points, 0.05)
    assert entry.commit == succeed(project, "git", "rev-parse", "HEAD").strip()
    assert not entry.has_uncommitted_changes
    assert verdict.num_test_uses == 1
    assert "test_uses.json" in succeed(project, "git", "status", "--short")


def test_the_same_comparison_again_is_no_further_use_and_leaves_the_same_verdict(project: Path) -> None:
    kept = [project / "test_uses.json", project / "artifacts" / "verdict.json", project / "artifacts" / "metrics.json"]
    before = [path.read_bytes() for path in kept]
    run_stages(project, "check_transfer")
    assert [path.read_bytes() for path in kept] == before
    assert "up to date" in succeed(project, "dvc", "status")


def test_another_rule_on_the_same_items_is_a_further_use_which_card_and_summary_tell(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = _given(project, margin_points=0.6)
    entries = Ledger.load(project / "test_uses.json").given
    assert second.num_test_uses == len(entries) == 2
    assert entries[0].test_split == entries[1].test_split
    assert entries[0].params != entries[1].params
    assert entries[1].has_uncommitted_changes
    run_stages(project, "export")
    monkeypatch.chdir(project)
    summary = summarise(Project())
    assert "This test split has been used for 2 verdicts; each further one makes chance findings likelier." in summary
    assert len(summary[summary.index("  data  ") :].splitlines()) <= 30
    assert max(map(len, summary.splitlines())) <= SCREEN_WIDTH
    assert "test_uses.json" in summary[summary.index("git add") :]
    card = (project / "artifacts" / "onnx" / "MODEL_CARD.md").read_text()
    assert "any choice a person made after seeing the earlier verdict on it (1 with other params)" in card
    assert _given(project).num_test_uses == 1  # known since the first run
    assert len(Ledger.load(project / "test_uses.json").given) == 2


def test_where_alpha_is_over_the_test_split_each_further_verdict_has_less_of_it(project: Path) -> None:
    first = _given(project, alpha_over="test_split", margin_points=0.6)
    second = _given(project, alpha_over="test_split", margin_points=0.7)
    assert (first.num_test_uses, second.num_test_uses) == (2, 3)
    assert (first.alpha, second.alpha) == (0.00721, 0.00377)
    assert second.alpha_of_all_uses == pytest.approx(0.05 + 0.00721 + 0.00377)
    assert second.level <= second.alpha
    assert f"at {100 * (1 - 0.00377):g} % confidence" in second.claim


def test_a_ledger_that_cannot_be_written_costs_no_result_unless_alpha_hangs_on_it(project: Path) -> None:
    (project / "test_uses.json").unlink()
    lock = project / ".graft" / "test_uses.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    verdict = project / "artifacts" / "verdict.json"
    verdict.unlink()
    assert "test_uses.json could not be written" in run_stages(project, "check_transfer")
    assert verdict.exists()

    verdict.unlink()
    write_params(project, {**SMALL, "check_transfer": {**SMALL["check_transfer"], "alpha_over": "test_split"}})
    answer = stage_fails(project, "check_transfer")
    assert answer.startswith(f"LedgerError: {project / 'test_uses.json'} could not be written")
    assert not verdict.exists()


def test_dvc_shows_validation_numbers_before_those_of_the_test_split(project: Path) -> None:
    names = succeed(project, "dvc", "metrics", "show").splitlines()[0].split()[1:]
    is_test = [not name.startswith("choose_by.validation_") for name in names]
    assert is_test.count(False) == 3
    assert is_test == sorted(is_test)
    shown = json.loads((project / "artifacts" / "metrics.json").read_text())["choose_by"]
    transfer, baseline = (shown["validation_accuracy"][arm] for arm in ("transfer", "baseline"))
    assert shown["validation_gain_points"] == pytest.approx(100 * (transfer - baseline), abs=0.02)
