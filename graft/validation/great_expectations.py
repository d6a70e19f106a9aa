"""Runs Great Expectations: one context, one run per table, each with its pages in the Data Docs."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import great_expectations as gx

TIME_OF_RUN = datetime(2000, 1, 1, tzinfo=UTC)
"""Fixed time, since equal data must give equal Data Docs; the real time of a run is in git and in the flow's log."""
NUM_EXAMPLES = 10
SECTIONS = [
    ("expectations", "expectations_store", "MarkedSuite"),
    ("validations", "validation_results_store", "MarkedResults"),
]
"""Sections of the Data Docs: name, store, class of graft.validation.docs_renderers."""


def great_expectations() -> Any:
    """Imports the package, which takes seconds and is only needed by this stage."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations

    return great_expectations


def new_context(docs_dir: Path) -> Any:
    """Context in memory, with a Data Docs site in `docs_dir`."""
    context = great_expectations().get_context(mode="ephemeral")
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    # a statement that it cannot render is named on the page; the log would also print a traceback
    logging.getLogger("great_expectations.render").setLevel(logging.CRITICAL)
    site: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs_dir.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "site_section_builders": {
            section: {
                "class_name": "DefaultSiteSectionBuilder",
                "source_store_name": store,
                "renderer": {"module_name": "graft.validation.docs_renderers", "class_name": renderer},
            }
            for section, store, renderer in SECTIONS
        },
    }
    context.add_data_docs_site("data_docs", site)
    store = context.validation_results_store
    serialise = store.serialize

    def serialise_plainly(outcome: Any) -> Any:
        for result in outcome.results:  # for quantiles it is a numpy.bool, which Great Expectations cannot store
            result.success = bool(result.success)
        return serialise(outcome)

    store.serialize = serialise_plainly
    return context


def run_suite(
    context: Any, name: str, table: pd.DataFrame, expectations: "list[gx.expectations.Expectation]"
) -> list[Any]:
    """Results of Great Expectations, one per expectation, in arbitrary order; adds pages to the Data Docs.

    Examples of failing rows are given by index: by name they would take a Python loop over all failing rows.
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
        batch_parameters={"dataframe": table}, run_id=RunIdentifier(run_name="validate", run_time=TIME_OF_RUN)
    )
    return [result for run in outcome.run_results.values() for result in run.results]
