"""Great Expectations at work: one context, one run a table, Data Docs that are equal for equal data."""

import os
import re
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import great_expectations as gx

A_FIXED_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Equal data must give equal Data Docs; when a run took place is in git and in the flow's log."""
NUM_EXAMPLES = 10


def great_expectations() -> Any:
    """The package; importing it costs seconds, and only this stage needs it."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations

    return great_expectations


def new_context(docs_dir: Path) -> Any:
    """A context in memory with a site of Data Docs in `docs_dir`."""
    context = great_expectations().get_context(mode="ephemeral")
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    site: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs_dir.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("data_docs", site)
    return context


def run_suite(
    context: Any, name: str, table: pd.DataFrame, expectations: "list[gx.expectations.Expectation]"
) -> list[Any]:
    """Great Expectations' result of each expectation, in no certain order; adds pages to the Data Docs.

    Examples of failing rows come as their index: by name they cost a Python loop over all failing rows.
    """
    gx = great_expectations()
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.core.run_identifier import RunIdentifier

    rows = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name,
        data=rows.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(gx.ExpectationSuite(name, expectations=expectations)),
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[UpdateDataDocsAction(name="data_docs", site_names=["data_docs"])],
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": NUM_EXAMPLES,
            "include_unexpected_rows": False,
        },
    )
    outcome = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": table}, run_id=RunIdentifier(run_name="validate", run_time=A_FIXED_TIME)
    )
    return [result for run in outcome.run_results.values() for result in run.results]


def make_reproducible(docs_dir: Path) -> None:
    """Takes times and random ids out of the Data Docs, and points their logo at the local copy."""
    for page in sorted(docs_dir.rglob("*.html")):
        numbers: dict[str, str] = {}
        numbering = count(1)
        html = page.read_text(encoding="utf-8")
        html = re.sub(r"\d{8}T\d{6}\.\d{6}Z", f"{A_FIXED_TIME:%Y%m%dT%H%M%S.%fZ}", html)
        html = re.sub(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
            lambda match: numbers.setdefault(match.group(), f"id-{next(numbering)}"),  # noqa: B023
            html,
        )
        images = "/".join([".."] * (len(page.relative_to(docs_dir).parts) - 1) + ["static", "images"])
        html = re.sub(r"https://great-expectations-web-assets[^\"]*/([\w.-]+)\?d=[^\"]*", rf"{images}/\1", html)
        page.write_text(html, encoding="utf-8")
