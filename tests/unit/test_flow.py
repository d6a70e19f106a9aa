"""How the flow goes on after a verdict, and what it does at its end. The stages themselves do not run here."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed
from report_content import content_of

from flows import effects, record, retrain
from graft.core.errors import ServerError
from graft.project import Project
from graft.transfer.verdict import Verdict


def _told(
    monkeypatch: pytest.MonkeyPatch, folder: Path, verdicts: list[Verdict], not_recorded: list[str] | None = None
) -> tuple[list[str], State]:
    """What the flow does where check_transfer comes to these verdicts, one after the other; and its last state."""
    done: list[str] = []
    left = iter(verdicts)

    def run_stage(name: str) -> None:
        done.append(name)
        if name == "check_transfer":
            Project(folder).save(next(left))

    monkeypatch.setattr(retrain, "Project", lambda: Project(folder))
    monkeypatch.setattr(retrain, "run_stage", run_stage)
    monkeypatch.setattr(retrain, "check_ready", lambda _project: done.append("check_ready"))
    for effect in ("reject_source", "require_nothing_stale", "show_summary", "accept_data"):
        monkeypatch.setattr(retrain, effect, lambda *_, effect=effect: done.append(effect))
    monkeypatch.setattr(retrain, "record", lambda _: done.append("record") or not_recorded or [])
    monkeypatch.setattr(retrain, "one_run_at_a_time", nullcontext)
    state = retrain.retrain.fn()
    assert list(left) == []
    return done, state


def _negative(*, tries_next: bool) -> Verdict:
    return content_of(verdict="negative").verdict.model_copy(update={"tries_next": tries_next})


def test_harm_sends_the_flow_back_to_the_choice_and_the_proof_of_the_next_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = content_of(verdict="positive").verdict
    done, state = _told(monkeypatch, tmp_path, [_negative(tries_next=True), good])
    proof = ["select", "inspect", "finetune", "baseline", "baseline_longer", "check_transfer"]
    after = done.index("select")
    assert done[after : after + 13] == [*proof, "reject_source", *proof]
    assert done.count("export") == done.count("accept_data") == 1
    assert state.name == "Completed"


def test_harm_without_a_further_source_ends_rejected_and_accepts_no_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, state = _told(monkeypatch, tmp_path, [_negative(tries_next=True), _negative(tries_next=False)])
    assert done.count("reject_source") == 1
    assert done.count("report") == 1
    assert "accept_data" not in done
    assert state.name == "Rejected"


def test_a_flow_that_nobody_started_by_hand_looks_before_it_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, _ = _told(monkeypatch, tmp_path, [content_of(verdict="positive").verdict])
    assert done[:2] == ["check_ready", "data.dvc"]


def test_what_does_not_hold_fails_a_deployed_flow_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrain, "one_run_at_a_time", nullcontext)

    def refuse(_project: Project) -> None:
        raise ServerError("MLflow at http://anna:s3cret@runs.example cannot be used.")

    monkeypatch.setattr(retrain, "check_ready", refuse)
    state = retrain.retrain.fn()
    assert state.is_failed()
    assert state.message == "ServerError: MLflow at http://***@runs.example cannot be used."


def test_the_page_of_a_run_links_to_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "summarise", lambda _: "all is well")
    page = effects.summary_page(Project())
    assert "file://" not in page
    assert f"`{Path('artifacts/report.html').absolute()}`" in page


def test_data_are_accepted_and_the_summary_is_shown_before_anything_is_recorded_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, _ = _told(monkeypatch, tmp_path, [content_of(verdict="positive").verdict])
    assert done[-4:] == ["require_nothing_stale", "accept_data", "show_summary", "record"]


def test_what_could_not_be_recorded_costs_no_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = ["not recorded in MLflow: ConnectionError: nobody answers"]
    _, state = _told(monkeypatch, tmp_path, [content_of(verdict="positive").verdict], lines)
    assert state.is_completed()
    assert state.message == "accepted; not recorded in MLflow: ConnectionError: nobody answers"


def _stop_with(error: Exception) -> Callable[[Project], State | None]:
    def effect(_project: Project) -> None:
        raise error

    return effects.ends_in_one_line(effect)


def test_a_recording_that_fails_is_one_line_that_says_how_to_repeat_it_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Project] = []
    project = Project(tmp_path)
    fails = _stop_with(ConnectionError("nobody answers\nat http://me:secret@host/\n" + "<html>" * 1000))
    monkeypatch.setattr(effects, "record_in_mlflow", lambda project, **_: fails(project))
    monkeypatch.setattr(effects, "publish_summary", lambda project, **_: asked.append(project) or Completed())
    monkeypatch.setattr(effects, "get_run_logger", lambda: logging.getLogger("run"))
    (line,) = effects.record(project)
    assert line.startswith("not recorded in MLflow: ConnectionError: nobody answers at http://***@host/")
    assert len(line) < 400
    assert asked == [project]
    assert caplog.messages == [f"{line} The results are safe; `python -m flows.record` tries again."]
    assert line.endswith("...")


@pytest.mark.parametrize(("lines", "is_recorded"), [([], True), (["not recorded in MLflow: no"], False)])
def test_recording_again_says_whether_it_worked(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], is_recorded: bool
) -> None:
    monkeypatch.setattr(record, "record", lambda _: lines)
    monkeypatch.setattr(record, "require_nothing_stale", lambda: None)
    monkeypatch.setattr(record, "one_run_at_a_time", nullcontext)
    assert record.record_again.fn().is_completed() == is_recorded
