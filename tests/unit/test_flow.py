"""How the flow goes on after a verdict. The stages themselves do not run here."""

from pathlib import Path

import pytest
from report_content import content_of

from flows import effects, retrain
from graft.errors import ServerError
from graft.transfer.verdict import Verdict


def _told(monkeypatch: pytest.MonkeyPatch, folder: Path, verdicts: list[Verdict]) -> tuple[list[str], str | None]:
    """What the flow does where check_transfer comes to these verdicts, one after the other; and its last state."""
    done: list[str] = []
    left = iter(verdicts)

    def run_stage(name: str) -> None:
        done.append(name)
        if name == "check_transfer":
            next(left).save(folder / "verdict.json")

    monkeypatch.setattr(retrain, "ARTIFACTS", folder)
    monkeypatch.setattr(retrain, "run_stage", run_stage)
    monkeypatch.setattr(retrain, "check_ready", lambda: done.append("check_ready"))
    for effect in ("reject_source", "require_nothing_stale", "record_in_mlflow", "publish_summary", "accept_data"):
        monkeypatch.setattr(retrain, effect, lambda *_, effect=effect: done.append(effect))
    state = retrain.retrain.fn()
    assert list(left) == []
    return done, state.name


def _negative(*, tries_next: bool) -> Verdict:
    return content_of(verdict="negative").verdict.model_copy(update={"tries_next": tries_next})


def test_harm_sends_the_flow_back_to_the_choice_and_the_proof_of_the_next_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = content_of(verdict="positive").verdict
    done, state = _told(monkeypatch, tmp_path, [_negative(tries_next=True), good])
    proof = ["select", "inspect", "finetune", "scratch", "converge", "check_transfer"]
    after = done.index("select")
    assert done[after : after + 13] == [*proof, "reject_source", *proof]
    assert done.count("export") == done.count("accept_data") == 1
    assert state == "Completed"


def test_harm_without_a_further_source_ends_rejected_and_accepts_no_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, state = _told(monkeypatch, tmp_path, [_negative(tries_next=True), _negative(tries_next=False)])
    assert done.count("reject_source") == 1
    assert done.count("report") == 1
    assert "accept_data" not in done
    assert state == "Rejected"


def test_a_flow_that_nobody_started_by_hand_looks_before_it_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, _ = _told(monkeypatch, tmp_path, [content_of(verdict="positive").verdict])
    assert done[:2] == ["check_ready", "data.dvc"]


def test_what_does_not_hold_fails_a_deployed_flow_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ServerError("MLflow at http://anna:s3cret@runs.example cannot be used.")

    monkeypatch.setattr(retrain, "check_ready", refuse)
    state = retrain.retrain.fn()
    assert state.is_failed()
    assert state.message == "ServerError: MLflow at http://***@runs.example cannot be used."


def test_the_page_of_a_run_links_to_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "summarise", lambda _: "all is well")
    page = effects.summary_page(Path("artifacts"))
    assert "file://" not in page
    assert f"`{Path('artifacts/report.html').absolute()}`" in page
