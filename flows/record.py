"""Records the results in artifacts/ again, if that failed at the end of a run: `python -m flows.record`.

Existing records are not changed.
"""

import sys

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.effects import record
from flows.server import prefect_server
from flows.stages import require_nothing_stale
from flows.terminal import answer, exit_code_of, failed_by
from flows.workspace import GRAFT_HOME, one_run_at_a_time
from graft.project import Project


@flow(name="record", persist_result=False)
def record_again() -> State:
    try:
        with one_run_at_a_time():
            require_nothing_stale()
            failed = record(Project())
    except Exception as error:
        return failed_by(error)
    return Failed(message="; ".join(failed)) if failed else Completed(message="recorded")


def main() -> int:
    with one_run_at_a_time(), prefect_server(GRAFT_HOME):
        return exit_code_of(record_again(return_state=True))


if __name__ == "__main__":
    sys.exit(answer(main))
