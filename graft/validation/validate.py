"""Validation: checks the manifest against expectations.yaml, and compares it with the last accepted run."""

import logging
from collections import Counter
from pathlib import Path

from graft.core.artifacts import DATA_DOCS, DUPLICATES, MANIFEST
from graft.core.errors import ExpectationsError
from graft.core.files import folder_written_atomically
from graft.project import Project
from graft.validation.change import DataSummary, load_accepted
from graft.validation.expectations import expect
from graft.validation.result import Change, Expectation, Validation
from graft.validation.suite import load_suite

logger = logging.getLogger(__name__)


def validate_data(project: Project) -> None:
    """Checks the manifest against the expectations, and writes the results.

    Raises:
        ExpectationsError: the data break an expectation of level error.
    """
    params, suite = project.params.validate_, load_suite(project.expectations_file)
    folder = project.path(Validation.NAME).parent
    with folder_written_atomically(folder) as new:
        findings = expect(
            suite,
            suite_path=project.expectations_file,
            manifest_path=project.path(MANIFEST),
            duplicates_path=project.path(DUPLICATES),
            accepted=load_accepted(project.accepted_data),
            change_alpha=params.change_alpha,
            min_psi=params.min_psi,
            docs_dir=new / Path(DATA_DOCS).parent.name,
        )
        errors, warnings = findings.failed("error"), findings.failed("warning")
        inputs = project.hashes(MANIFEST, DUPLICATES)
        Validation(inputs=inputs, passed=not errors, expectations=findings.expectations).save(
            new / Path(Validation.NAME).name
        )
        Change(inputs=inputs, expectations=findings.change_expectations, quantities=findings.quantities).save(
            new / Path(Change.NAME).name
        )
        findings.summary.save(new / Path(DataSummary.NAME).name)
    outcomes = Counter(item.outcome for item in findings.all_expectations)
    num_open = outcomes["not compared"]
    logger.info(
        f"{outcomes['passed']} of {len(suite)} expectations hold"
        + (f", {num_open} had nothing to compare with" if num_open else "")
        + (f", {len(warnings)} warning(s)" if warnings else "")
    )
    for item in warnings:
        logger.warning(
            f"  warning: {item.sentence}: {item.observed}" + "".join(f"\n    {name}" for name in item.examples[:3])
        )
    is_change = any(item in findings.change_expectations for item in errors)
    if errors:
        raise ExpectationsError(
            f"the data break {len(errors)} expectation(s):\n{_listing(errors)}\nFix the data, or change the "
            f"expectation in {project.expectations_file} (`level: warning` lets the run continue)"
            + (f"; to accept an intended change, delete {project.accepted_data}" if is_change else "")
            + f". Details: {folder}/data_docs/index.html"
        )


def _listing(expectations: list[Expectation]) -> str:
    return "\n".join(
        f"  {item.sentence}: {item.observed}" + "".join(f"\n    {name}" for name in item.examples)
        for item in expectations
    )
