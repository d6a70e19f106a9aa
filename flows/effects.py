"""What a flow does to the world: accepts the data, records the run in MLflow, shows the summary in the Prefect UI.

An effect never costs a result: what cannot be recorded elsewhere is said, and `python -m flows.record` repeats it.
"""

import platform
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.summary import summarise
from graft.core.addresses import without_passwords
from graft.core.config import load_params
from graft.core.paths import artifact_root, tracking_uri
from graft.core.terminal import plain
from graft.selection.result import Selection
from graft.transfer.rejected import RejectedSource, RejectedSources
from graft.transfer.verdict import Verdict
from graft.validation.change import DataSummary

EXPERIMENT = "graft"
MAX_CHARACTERS = 300
"""Of another program's message; SQL and HTML are longer."""


def show_summary(artifacts_dir: Path) -> None:
    print(plain(summarise(artifacts_dir)), flush=True)


def record(artifacts_dir: Path) -> list[str]:
    """Records the results in MLflow and in the Prefect UI; returns a line for each of them that failed."""
    places = {"MLflow": record_in_mlflow, "the Prefect UI": publish_summary}
    states = {place: effect(artifacts_dir, return_state=True) for place, effect in places.items()}
    failed = [f"not recorded in {place}: {state.message}" for place, state in states.items() if state.message]
    for line in failed:
        sentence = line if line.endswith(".") else f"{line}."
        get_run_logger().warning(f"{sentence} The results are safe; `python -m flows.record` tries again.")
    return failed


def ends_in_one_line(effect: Callable[[Path], None]) -> Callable[[Path], State | None]:
    """Whatever goes wrong at the other end. For Prefect such a task has not failed, or it would show a traceback."""

    @wraps(effect)
    def attempt(artifacts_dir: Path) -> State | None:
        try:
            effect(artifacts_dir)
        except Exception as error:
            return Completed(name="NotRecorded", message=in_one_line(error))
        return None

    return attempt


def in_one_line(error: Exception) -> str:
    said = " ".join(without_passwords(str(error)).split())
    short = said if len(said) <= MAX_CHARACTERS else f"{said[:MAX_CHARACTERS]} ..."
    return f"{type(error).__name__}: {short}"


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="record_in_mlflow")
@ends_in_one_line
def record_in_mlflow(artifacts_dir: Path) -> None:
    """Into the server that MLFLOW_TRACKING_URI names, else into a sqlite file of this project."""
    from graft.registry.runs import record_run  # mlflow costs seconds, and a flow that fails never needs it

    uri = tracking_uri(Path.cwd())
    run_id = record_run(
        artifacts_dir,
        load_params(Path("params.yaml")).model_dump(by_alias=True),
        tracking_uri=uri,
        artifact_root=artifact_root(Path.cwd()),
        experiment=EXPERIMENT,
    )
    get_run_logger().info(f"run {run_id} of {without_passwords(uri)}")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="publish_summary")
@ends_in_one_line
def publish_summary(artifacts_dir: Path) -> None:
    """As an artifact of the flow run, where whoever watches the Prefect UI sees it."""
    create_markdown_artifact(summary_page(artifacts_dir), key="retrain-summary")


def summary_page(artifacts_dir: Path) -> str:
    """Markdown: the summary, and where the pages lie. A browser opens no file:// link of a page from a server."""
    pages = {"Report": "report.html", "Data Docs of the validation": "validation/data_docs/index.html"}
    places = "\n".join(f"- {title}: `{(artifacts_dir / page).absolute()}`" for title, page in pages.items())
    summary = plain(summarise(artifacts_dir)).replace("```", "'''")  # a name must not end the block that it stands in
    return f"```\n{summary}\n```\n\nOn {platform.node()}:\n\n{places}\n"


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="reject_source")
def reject_source(artifacts_dir: Path, rejected_path: Path) -> None:
    """Makes the next choice of a source do without the one of this verdict, on these data."""
    verdict = Verdict.load(artifacts_dir / "verdict.json")
    selection = Selection.load(artifacts_dir / "selection.json")
    entry = RejectedSource(
        source=selection.chosen,
        weights_sha256=selection.chosen_score.weights_sha256,
        manifest_sha256=selection.inputs["manifest.parquet"],
        claim=verdict.claim,
    )
    RejectedSources.load(rejected_path).plus(entry).save(rejected_path)
    get_run_logger().info(f"{selection.chosen} is left out from now on ({rejected_path}): {verdict.claim}")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="accept_data")
def accept_data(artifacts_dir: Path, accepted_path: Path) -> None:
    """Makes the data of this run what the next validation compares with; to be committed beside dvc.lock."""
    DataSummary.load(artifacts_dir / "validation" / "data_summary.json").save(accepted_path)
