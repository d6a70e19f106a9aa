"""Flow runs whose process was killed: it could not say so, and would be shown as running for ever."""

from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import State, StateType
from prefect.settings import PREFECT_HOME
from prefect.states import Crashed

UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def end_abandoned_flow_runs() -> None:
    """Ends as crashed what this project's own server believes to run. To be called while no other run is under way in
    the project's folder. A server's database that lies elsewhere may hold runs of other projects: it is left alone."""
    if not PREFECT_HOME.value().absolute().is_relative_to(Path.cwd()):
        return
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
    crashed: State = Crashed(message="Its process was killed. The next run of the same command went on from there.")
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=unfinished):
            client.set_flow_run_state(run.id, crashed, force=True)
