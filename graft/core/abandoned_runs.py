"""Runs of MLflow whose process is no more: who records a run says so in its tags, and the next one ends it."""

import os
import platform
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST_TAG, PROCESS_TAG, STARTED_TAG = "graft.host", "graft.process", "graft.process_started"
"""Tags for the machine and process that record a run. The start time distinguishes processes with the same id, as they
occur in containers."""
CLOCK_S = 5.0
"""Largest apparent difference between two readings of the start time of one process."""


def process_tags() -> dict[str, str]:
    """Tags of a run that this process records."""
    started_s = psutil.Process().create_time()
    return {HOST_TAG: platform.node(), PROCESS_TAG: str(os.getpid()), STARTED_TAG: str(started_s)}


def end_abandoned_runs(client: "MlflowClient", experiment_id: str) -> None:
    """Ends as KILLED what a process of this machine began that is no more; a killed process cannot say so itself."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tags.get(HOST_TAG) == platform.node() and PROCESS_TAG in tags and not _is_running(tags):
            client.set_terminated(run.info.run_id, "KILLED")


def _is_running(tags: dict[str, str]) -> bool:
    try:
        started_s = psutil.Process(int(tags[PROCESS_TAG])).create_time()
    except psutil.NoSuchProcess:
        return False
    return abs(started_s - float(tags.get(STARTED_TAG, started_s))) < CLOCK_S
