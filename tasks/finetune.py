"""finetune: manifest, selection -> finetune/ (result, curves, predictions, search), model/ (the best seed)"""

from graft.experiment.run_arm import run_arm
from graft.project import Project
from tasks.stage import run_stage


def finetune(project: Project) -> None:
    run_arm(project, "transfer")


if __name__ == "__main__":
    run_stage(finetune)
