"""Sequence of a retraining: `python -m flows.retrain`.

dvc.yaml has the same stages, with what each reads and writes.
"""

import sys

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.effects import accept_data, in_one_line, record, reject_source, show_summary
from flows.preflight import check_ready
from flows.server import prefect_server
from flows.stages import require_nothing_stale, run_stage
from flows.terminal import answer, exit_code_of, failed_by
from flows.workspace import GRAFT_HOME, one_run_at_a_time
from graft.core.errors import StageFailedError
from graft.project import Project
from graft.transfer.verdict import Verdict

EXIT_REJECTED = 3
"""Exit code if all stages succeeded but the model was rejected, for schedulers that need to know."""
ENDED: list[State] = []
"""Final states of the flows of this process, whether or not Prefect received them."""


@flow(name="retrain", persist_result=False)
def retrain() -> State:
    """Runs all stages, from data to a proven model, an ONNX file and a report. A rejection is a result, not a crash."""
    try:
        with one_run_at_a_time():
            state = _retrain()
    except Exception as error:
        state = failed_by(error)
    ENDED.append(state)
    return state


def _retrain() -> State:
    project = Project()
    check_ready(project)
    run_stage("data.dvc")
    run_stage("ingest")
    run_stage("validate")
    while True:
        run_stage("select")
        run_stage("inspect")
        run_stage("finetune")
        run_stage("baseline")
        run_stage("baseline_longer")
        run_stage("check_transfer")
        verdict = project.load(Verdict)
        if not verdict.tries_next:
            break
        reject_source(project)
    run_stage("count_labels")
    run_stage("examine")
    run_stage("export")
    run_stage("report")
    require_nothing_stale()
    if not verdict.is_rejected:
        accept_data(project)
    show_summary(project)
    not_recorded = "".join(f"; {line}" for line in record(project))
    if verdict.is_rejected:
        return Completed(name="Rejected", message=f"{verdict.badge}; nothing was exported{not_recorded}")
    return Completed(message=f"accepted{not_recorded}")


def main() -> int:
    check_ready(Project())
    with one_run_at_a_time(), prefect_server(GRAFT_HOME):
        try:
            state = retrain(return_state=True)
        except httpx.TransportError as error:
            if not ENDED:
                raise StageFailedError(f"Prefect's server no longer answers: {in_one_line(error)}") from error
            print(f"\nPrefect could not be told how this run ended: {in_one_line(error)}", file=sys.stderr)
            state = ENDED[-1]
    return EXIT_REJECTED if state.name == "Rejected" else exit_code_of(state)


if __name__ == "__main__":
    sys.exit(answer(main))
