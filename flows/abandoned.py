"""Flow runs whose process was killed before it could report that, and which would be shown as running forever."""

from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import State, StateType
from prefect.settings import PREFECT_HOME
from prefect.states import Crashed

UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def end_abandoned_flow_runs() -> None:
    """Marks all unfinished runs of this project's own server as crashed.

    Call it only while no other run is active in the project's folder. A server's database outside of the project may
    hold runs of other projects, and is not changed.
    """
    if not PREFECT_HOME.value().absolute().is_relative_to(Path.cwd()):
        return
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
    crashed: State = Crashed(message="Its process was killed. The next run of the same command resumed from there.")
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=unfinished):
            client.set_flow_run_state(run.id, crashed, force=True)
