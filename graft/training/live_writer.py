"""Child process that writes live curves to MLflow: `python -m graft.training.live_writer`.

It reads JSON lines from its input: first the address, then what happens in the trainings. When the input ends, a run
that has not ended was killed. Of an MLflow that fails, it prints one sentence and ends.
"""

import contextlib
import json
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.abandoned_runs import end_abandoned_runs, process_tags
from graft.core.addresses import sqlite_address, sqlite_path
from graft.core.errors import ServerError
from graft.core.tracking import relocate_artifacts, require_active, require_database, server_errors_named

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINING_TAG = "graft.training"
"""Tag whose value only runs of the same training share; one that goes on from a checkpoint goes on in its run."""
REQUEST_TIMEOUT_S = 5
LAST_WORDS_S = 10
"""Time to end the runs when the process that trains has ended."""
METRICS = ("train_loss", "validation_loss", "validation_accuracy")


class LiveRuns:
    """Runs of one MLflow experiment that are being written."""

    def __init__(self, client: "MlflowClient", experiment_id: str) -> None:
        self._client, self._experiment_id = client, experiment_id
        self._run_ids: dict[str, str] = {}
        self._last_epochs: dict[str, int] = {}

    def take(self, message: dict[str, Any]) -> None:
        training = message["training"]
        if "name" in message:
            self._begin(training, message["name"], message["tags"])
        elif "record" in message:
            self._log(training, message["record"], message["time_ms"])
        else:
            self._client.set_terminated(self._run_ids.pop(training), message["status"])

    def end(self) -> None:
        """Ends what has not ended."""
        for run_id in self._run_ids.values():
            self._client.set_terminated(run_id, "KILLED")

    def _begin(self, training: str, name: str, tags: dict[str, str]) -> None:
        known = self._client.search_runs([self._experiment_id], f"tags.`{TRAINING_TAG}` = '{training}'", max_results=1)
        tags = {**tags, TRAINING_TAG: training, **process_tags()}
        self._last_epochs[training] = 0
        if not known:
            self._run_ids[training] = self._client.create_run(self._experiment_id, run_name=name, tags=tags).info.run_id
            return
        run_id = self._run_ids[training] = known[0].info.run_id
        self._client.update_run(run_id, status="RUNNING", name=name)
        for tag, value in tags.items():
            self._client.set_tag(run_id, tag, value)
        history = self._client.get_metric_history(run_id, METRICS[0])
        self._last_epochs[training] = max((metric.step for metric in history), default=0)

    def _log(self, training: str, record: dict[str, Any], time_ms: int) -> None:
        from mlflow.entities import Metric

        if record["epoch"] > self._last_epochs[training]:  # a training that goes on tells of its earlier epochs again
            metrics = [Metric(name, record[name], time_ms, record["epoch"]) for name in METRICS]
            self._client.log_batch(self._run_ids[training], metrics)


def write(lines: Iterable[str], address: str, artifact_root: str | None, experiment: str) -> None:
    """
    Raises:
        ServerError: MLflow cannot be used.
    """
    if artifact_root is not None:
        relocate_artifacts(address, artifact_root)
    with server_errors_named(address, timeout_s=REQUEST_TIMEOUT_S, retries=0):
        make_database(address)
        require_database(address)
        from mlflow import MlflowClient

        client = MlflowClient(address)
        require_active(client, experiment)
        found = client.get_experiment_by_name(experiment)
        experiment_id = (
            found.experiment_id if found else client.create_experiment(experiment, artifact_location=artifact_root)
        )
        end_abandoned_runs(client, experiment_id)
        runs = LiveRuns(client, experiment_id)
        for line in lines:
            runs.take(json.loads(line))
        signal.alarm(LAST_WORDS_S)
        runs.end()


def make_database(address: str) -> None:
    """Makes a sqlite database that is not there yet, whole or not at all.

    MLflow makes its tables in dozens of steps, and one that was killed among them leaves a file that it never opens
    again. This process may be killed at any time.
    """
    database = sqlite_path(address)
    if database is None or database.exists():
        return
    from mlflow import MlflowClient

    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{database.name}-", dir=database.parent) as folder:
        draft, whole = Path(folder) / "draft.db", Path(folder) / "whole.db"
        MlflowClient(sqlite_address(draft)).search_experiments()
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("VACUUM INTO ?", (str(whole),))
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(whole, database)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains
    with contextlib.suppress(OSError):
        os.nice(5)
    settings = json.loads(sys.stdin.readline())  # not arguments, which other users see, and addresses hold passwords
    try:
        write(sys.stdin, **settings)
    except ServerError as error:
        print(error, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
