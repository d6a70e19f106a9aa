"""examine: both arms' kept models and predictions -> examination.json (calibration, robustness)"""

from graft.examination.examine import examine_models
from graft.project import Project
from tasks.stage import run_stage


def examine(project: Project) -> None:
    examine_models(project)


if __name__ == "__main__":
    run_stage(examine)
