"""validate: manifest.parquet, duplicates.csv, expectations.yaml -> validation/

The data of the last accepted run (accepted_data.json) are also read, but are not a dependency: see dvc.yaml.
"""

from graft.project import Project
from graft.validation.validate import validate_data
from tasks.stage import run_stage


def validate(project: Project) -> None:
    validate_data(project)


if __name__ == "__main__":
    run_stage(validate)
