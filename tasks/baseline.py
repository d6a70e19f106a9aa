"""baseline: manifest, selection -> baseline/ (like finetune/ and model/): the same network from scratch"""

from graft.experiment.run_arm import run_arm
from graft.project import Project
from tasks.stage import run_stage


def baseline(project: Project) -> None:
    run_arm(project, "baseline")


if __name__ == "__main__":
    run_stage(baseline)
