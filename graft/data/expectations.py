"""What the manifest must satisfy, as a Great Expectations suite with Data Docs."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from graft.artifacts import Expectation
from graft.data.manifest import quarantined, usable_samples
from graft.data.splits import SPLITS

if TYPE_CHECKING:
    import great_expectations as gx

A_FIXED_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Equal data must give equal Data Docs; when a run took place is in git and in the flow's log."""


@dataclass(frozen=True)
class Limits:
    min_samples_per_class: int
    min_class_fraction: float
    min_side_px: int
    max_side_px: int
    max_quarantined_fraction: float


def expect(manifest: pd.DataFrame, limits: Limits, docs_dir: Path) -> list[Expectation]:
    """Holds the manifest against the suite and writes Data Docs (a small website) into `docs_dir`."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx  # costs seconds, and only this stage needs it
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    site: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs_dir.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("data_docs", site)
    samples = context.data_sources.add_pandas("manifest").add_dataframe_asset("samples")
    sentences = _suite(limits)
    suite = context.suites.add(gx.ExpectationSuite("manifest", expectations=list(sentences.values())))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="manifest", data=samples.add_batch_definition_whole_dataframe("all"), suite=suite)
    )
    checkpoint = gx.Checkpoint(
        name="manifest",
        validation_definitions=[definition],
        actions=[UpdateDataDocsAction(name="data_docs", site_names=["data_docs"])],
    )
    outcome = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": _with_derived_columns(manifest)},
        run_id=RunIdentifier(run_name="manifest", run_time=A_FIXED_TIME),
    )
    _make_reproducible(docs_dir)
    all_results: list[Any] = [result for run in outcome.run_results.values() for result in run.results]
    results = {result.expectation_config.meta["sentence"]: result for result in all_results}
    return [
        Expectation(sentence=name, passed=bool(results[name].success), observed=_observed(results[name].result))
        for name in sentences
    ]


def _suite(limits: Limits) -> "dict[str, gx.expectations.Expectation]":
    """Sentence -> expectation. The columns below `_with_derived_columns` are there for this suite alone."""
    import great_expectations.expectations as gxe

    def between(column: str, low: float | None, high: float | None) -> dict[str, Any]:
        return {"column": column, "min_value": low, "max_value": high}

    only_ok = {"row_condition": 'status=="ok"', "condition_parser": "pandas"}
    sides = (limits.min_side_px, limits.max_side_px)
    pieces = {
        "every path is named once": (gxe.ExpectColumnValuesToBeUnique, {"column": "path"}),
        "every usable sample has a label": (
            gxe.ExpectColumnValueLengthsToBeBetween, {**between("label", 1, None), **only_ok},
        ),
        "every usable sample has different content": (
            gxe.ExpectColumnValuesToBeUnique, {"column": "sample_id", **only_ok},
        ),
        "every usable sample is in one of the three splits": (
            gxe.ExpectColumnValuesToBeInSet, {"column": "split", "value_set": SPLITS, **only_ok},
        ),
        "every group stays within one split": (gxe.ExpectColumnMaxToBeBetween, between("splits_of_group", 0, 1)),
        "weights are positive": (
            gxe.ExpectColumnValuesToBeBetween, {**between("weight", 0, None), "strict_min": True},
        ),
        f"widths are {sides[0]} to {sides[1]} px": (
            gxe.ExpectColumnValuesToBeBetween, {**between("width", *sides), **only_ok},
        ),
        f"heights are {sides[0]} to {sides[1]} px": (
            gxe.ExpectColumnValuesToBeBetween, {**between("height", *sides), **only_ok},
        ),
        f"every class has at least {limits.min_samples_per_class} samples": (
            gxe.ExpectColumnMinToBeBetween, between("samples_of_class", limits.min_samples_per_class, None),
        ),
        f"every class is at least {limits.min_class_fraction:.1%} of the samples": (
            gxe.ExpectColumnMinToBeBetween, between("fraction_of_class", limits.min_class_fraction, None),
        ),
        f"at most {limits.max_quarantined_fraction:.1%} of the files are quarantined": (
            gxe.ExpectColumnMeanToBeBetween, between("is_quarantined", 0, limits.max_quarantined_fraction),
        ),
    }  # fmt: skip
    return {
        sentence: expectation(**arguments, meta={"sentence": sentence})
        for sentence, (expectation, arguments) in pieces.items()
    }


def _with_derived_columns(manifest: pd.DataFrame) -> pd.DataFrame:
    usable = usable_samples(manifest)
    counts = usable["label"].value_counts()
    groups = usable[usable["group"] != ""].groupby("group")["split"].nunique()
    return manifest.assign(
        samples_of_class=manifest["label"].map(counts).fillna(0).astype("int64"),
        fraction_of_class=(manifest["label"].map(counts) / len(usable)).fillna(0.0).astype("float64"),
        splits_of_group=manifest["group"].map(groups).fillna(1).astype("int64"),
        is_quarantined=manifest.index.isin(quarantined(manifest).index).astype("float64"),
    )


def _observed(result: dict[str, Any]) -> str:
    if "unexpected_count" in result:
        examples = ", ".join(str(value) for value in result.get("partial_unexpected_list", [])[:3])
        return f"{result['unexpected_count']} of {result['element_count']} fail" + (f": {examples}" if examples else "")
    value = result.get("observed_value")
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _make_reproducible(docs_dir: Path) -> None:
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
