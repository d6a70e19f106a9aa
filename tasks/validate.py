"""validate: manifest -> validation/result.json, validation/data_docs/"""

import shutil

from graft.artifacts import Validation, hash_inputs
from graft.config import Params
from graft.data.expectations import Limits, expect
from graft.data.manifest import read_manifest
from graft.errors import ExpectationsError
from tasks.stage import ARTIFACTS, run_stage


def validate(params: Params) -> None:
    folder = ARTIFACTS / "validation"
    shutil.rmtree(folder, ignore_errors=True)
    limits = Limits(**params.validate_.model_dump(), max_quarantined_fraction=params.ingest.max_quarantined_fraction)
    expectations = expect(read_manifest(ARTIFACTS / "manifest.parquet"), limits, folder / "data_docs")
    validation = Validation(
        inputs=hash_inputs(ARTIFACTS, "manifest.parquet"),
        passed=all(item.passed for item in expectations),
        expectations=expectations,
    )
    validation.save(folder / "result.json")
    print(f"{sum(item.passed for item in expectations)} of {len(expectations)} expectations hold")
    if not validation.passed:
        failed = "\n".join(f"  {item.sentence}: {item.observed}" for item in expectations if not item.passed)
        raise ExpectationsError(
            f"the data do not satisfy:\n{failed}\nMend the data, or change the limits under ingest and validate in "
            f"params.yaml. Details: {folder}/data_docs/index.html"
        )


if __name__ == "__main__":
    run_stage(validate)
