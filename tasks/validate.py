"""validate: manifest.parquet, duplicates.csv, expectations.yaml -> validation/

The data of the last accepted run (accepted_data.json) are read too, but are no dependency: see dvc.yaml.
"""

from collections import Counter

from graft.core.artifacts import hash_inputs
from graft.core.config import Params
from graft.core.errors import ExpectationsError
from graft.core.files import folder_written_atomically
from graft.validation.change import load_accepted
from graft.validation.expectations import expect
from graft.validation.result import Change, Expectation, Validation
from graft.validation.suite import load_suite
from tasks.stage import ACCEPTED_DATA, ARTIFACTS, EXPECTATIONS, run_stage


def validate(params: Params) -> None:
    suite = load_suite(EXPECTATIONS)
    folder = ARTIFACTS / "validation"
    with folder_written_atomically(folder) as new:
        findings = expect(
            suite,
            suite_path=EXPECTATIONS,
            manifest_path=ARTIFACTS / "manifest.parquet",
            duplicates_path=ARTIFACTS / "duplicates.csv",
            accepted=load_accepted(ACCEPTED_DATA),
            change_alpha=params.validate_.change_alpha,
            min_psi=params.validate_.min_psi,
            docs_dir=new / "data_docs",
        )
        errors, warnings = findings.failed("error"), findings.failed("warning")
        inputs = hash_inputs(ARTIFACTS, "manifest.parquet", "duplicates.csv")
        Validation(inputs=inputs, passed=not errors, expectations=findings.expectations).save(new / "result.json")
        Change(inputs=inputs, expectations=findings.change_expectations, quantities=findings.quantities).save(
            new / "change.json"
        )
        findings.summary.save(new / "data_summary.json")
    outcomes = Counter(item.outcome for item in findings.all_expectations)
    num_open = outcomes["not compared"]
    print(
        f"{outcomes['passed']} of {len(suite)} expectations hold"
        + (f", {num_open} had nothing to be compared with" if num_open else "")
        + (f", {len(warnings)} warning(s)" if warnings else "")
    )
    for item in warnings:
        print(f"  warning: {item.sentence}: {item.observed}" + "".join(f"\n    {name}" for name in item.examples[:3]))
    is_change = any(item in findings.change_expectations for item in errors)
    if errors:
        raise ExpectationsError(
            f"the data break {len(errors)} expectation(s):\n{_listing(errors)}\nMend the data, or change the "
            f"expectation in {EXPECTATIONS} (`level: warning` lets the run go on)"
            + (f"; a change that is meant is accepted by deleting {ACCEPTED_DATA}" if is_change else "")
            + f". Details: {folder}/data_docs/index.html"
        )


def _listing(expectations: list[Expectation]) -> str:
    return "\n".join(
        f"  {item.sentence}: {item.observed}" + "".join(f"\n    {name}" for name in item.examples)
        for item in expectations
    )


if __name__ == "__main__":
    run_stage(validate)
