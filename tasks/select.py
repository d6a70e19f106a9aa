"""select: manifest, sources.yaml -> selection.json, selection_scores.csv"""

from graft.experiment.source_choice import select_source
from graft.project import Project
from tasks.stage import run_stage


def select(project: Project) -> None:
    select_source(project)


if __name__ == "__main__":
    run_stage(select)
