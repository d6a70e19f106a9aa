"""baseline_longer: baseline/ -> baseline/longer/ (result, predictions): the baseline trained as long as that helps"""

from graft.experiment.longer_training import train_longer
from graft.project import Project
from tasks.stage import run_stage


def baseline_longer(project: Project) -> None:
    train_longer(project)


if __name__ == "__main__":
    run_stage(baseline_longer)
