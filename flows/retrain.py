"""The story of a retraining: `python -m flows.retrain`.

dvc.yaml tells the same story, with what each stage reads and writes.
"""

import sys
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.effects import accept_data, publish_summary, record_in_mlflow, reject_source
from flows.preflight import check_ready
from flows.server import prefect_server
from flows.stages import require_nothing_stale, run_stage
from flows.summary import summarise
from graft.errors import GraftError
from graft.terminal import plain, show_all_letters, tell
from graft.transfer.verdict import Verdict
from tasks.stage import ACCEPTED_DATA, ARTIFACTS, REJECTED_SOURCES

EXIT_REJECTED = 3
"""Of the command: all went well, and the verdict was no. A schedule may want to know."""


@flow(name="retrain", persist_result=False)
def retrain() -> State:
    """Data in; a proven model, an ONNX file and a report out. A rejected model is a result, not a crash."""
    try:
        check_ready()
        run_stage("data.dvc")
        run_stage("ingest")
        run_stage("validate")
        while True:
            run_stage("select")
            run_stage("inspect")
            run_stage("finetune")
            run_stage("scratch")
            run_stage("converge")
            run_stage("check_transfer")
            verdict = Verdict.load(ARTIFACTS / "verdict.json")
            if not verdict.tries_next:
                break
            reject_source(ARTIFACTS, REJECTED_SOURCES)
        run_stage("count_labels")
        run_stage("examine")
        run_stage("export")
        run_stage("report")
        require_nothing_stale()
        record_in_mlflow(ARTIFACTS)
        publish_summary(ARTIFACTS)
        if not verdict.is_rejected:
            accept_data(ARTIFACTS, ACCEPTED_DATA)
    except GraftError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    if verdict.is_rejected:
        return Completed(name="Rejected", message=f"{verdict.badge}; nothing was exported")
    return Completed(message="accepted")


def main() -> int:
    show_all_letters()
    try:
        check_ready()
        with prefect_server(Path(".graft")):
            state = retrain(return_state=True)
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished is kept; run the same command again to go on.", file=sys.stderr)
        return 130
    except Exception as error:
        if not tell(error):
            raise
        return 1
    if not state.is_completed():
        print(f"\n{plain(state.message or '')}\n", file=sys.stderr)
        return 1
    print(plain(summarise(ARTIFACTS)))
    return EXIT_REJECTED if state.name == "Rejected" else 0


if __name__ == "__main__":
    sys.exit(main())
