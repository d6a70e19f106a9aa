"""Records the results that lie in artifacts/ again: `python -m flows.record`, for what failed at the end of a run.

What is recorded already is left as it is.
"""

import sys

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.effects import record
from flows.server import prefect_server
from flows.stages import require_nothing_stale
from flows.terminal import answer
from flows.workspace import GRAFT_HOME, one_run_at_a_time
from graft.terminal import answer_to, plain
from tasks.stage import ARTIFACTS


@flow(name="record", persist_result=False)
def record_again() -> State:
    try:
        with one_run_at_a_time():
            require_nothing_stale()
            failed = record(ARTIFACTS)
    except Exception as error:
        message = answer_to(error)
        if message is None:
            raise
        return Failed(message=message)
    return Failed(message="; ".join(failed)) if failed else Completed(message="recorded")


def main() -> int:
    with one_run_at_a_time(), prefect_server(GRAFT_HOME):
        state = record_again(return_state=True)
    if not state.is_completed():
        print(f"\n{plain(state.message or '')}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
