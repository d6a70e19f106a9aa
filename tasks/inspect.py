"""inspect: manifest, selection.json -> inspection.json, suspects.csv"""

from graft.inspection.inspect import inspect_data
from graft.project import Project
from tasks.stage import run_stage


def inspect(project: Project) -> None:
    inspect_data(project)


if __name__ == "__main__":
    run_stage(inspect)
