"""Effects of a flow: accepts the data, records the run in MLflow, shows the summary in the Prefect UI.

A failing effect never loses a result: it is reported, and `python -m flows.record` repeats it.
"""

import platform
from collections.abc import Callable
from functools import wraps

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.summary import summarise
from graft.core.addresses import without_passwords
from graft.core.artifacts import DATA_DOCS, MANIFEST, REPORT
from graft.core.paths import artifact_root, tracking_uri
from graft.core.terminal import plain
from graft.project import Project
from graft.selection.result import Selection
from graft.transfer.rejected import RejectedSource, RejectedSources
from graft.transfer.verdict import Verdict
from graft.validation.change import DataSummary

EXPERIMENT = "graft"
MAX_CHARACTERS = 300
"""Maximum length of another program's message; those with SQL or HTML are longer."""


def show_summary(project: Project) -> None:
    print(plain(summarise(project)), flush=True)


def record(project: Project) -> list[str]:
    """Records the results in MLflow and in the Prefect UI; returns one line per failure."""
    places = {"MLflow": record_in_mlflow, "the Prefect UI": publish_summary}
    states = {place: effect(project, return_state=True) for place, effect in places.items()}
    failed = [f"not recorded in {place}: {state.message}" for place, state in states.items() if state.message]
    for line in failed:
        sentence = line if line.endswith(".") else f"{line}."
        get_run_logger().warning(f"{sentence} The results are safe; `python -m flows.record` tries again.")
    return failed


def ends_in_one_line(effect: Callable[[Project], None]) -> Callable[[Project], State | None]:
    """Decorator that turns errors into a state with a one-line message, since a failed task would show a traceback."""

    @wraps(effect)
    def attempt(project: Project) -> State | None:
        try:
            effect(project)
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
def record_in_mlflow(project: Project) -> None:
    """Records in the server that MLFLOW_TRACKING_URI names, or else in an SQLite file of this project."""
    from graft.registry.runs import record_run  # mlflow costs seconds, and a flow that fails never needs it

    uri = tracking_uri(project.root)
    run_id = record_run(
        project,
        tracking_uri=uri,
        artifact_root=artifact_root(project.root),
        experiment=EXPERIMENT,
    )
    get_run_logger().info(f"run {run_id} of {without_passwords(uri)}")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="publish_summary")
@ends_in_one_line
def publish_summary(project: Project) -> None:
    """Publishes the summary as an artifact of the flow run, visible in the Prefect UI."""
    create_markdown_artifact(summary_page(project), key="retrain-summary")


def summary_page(project: Project) -> str:
    """Summary and paths of the pages in Markdown. Browsers refuse file:// links in a page from a server."""
    pages = {"Report": REPORT, "Data Docs of the validation": DATA_DOCS}
    places = "\n".join(f"- {title}: `{project.path(page).absolute()}`" for title, page in pages.items())
    summary = plain(summarise(project)).replace("```", "'''")  # a name must not end its code block
    return f"```\n{summary}\n```\n\nOn {platform.node()}:\n\n{places}\n"


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="reject_source")
def reject_source(project: Project) -> None:
    """Excludes the source of this verdict from the next choice on these data."""
    verdict = project.load(Verdict)
    selection = project.load(Selection)
    entry = RejectedSource(
        source=selection.chosen,
        weights_sha256=selection.chosen_score.weights_sha256,
        manifest_sha256=selection.inputs[MANIFEST],
        claim=verdict.claim,
    )
    path = project.path_of(RejectedSources)
    project.kept(RejectedSources).plus(entry).save(path)
    get_run_logger().info(f"{selection.chosen} is excluded from now on ({path}): {verdict.claim}")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="accept_data")
def accept_data(project: Project) -> None:
    """Makes the next validation compare with the data of this run; the file is to be committed next to dvc.lock."""
    project.load(DataSummary).save(project.accepted_data)
