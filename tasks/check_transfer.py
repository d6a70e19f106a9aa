"""check_transfer: both arms' predictions -> verdict.json, metrics.json, confusion.csv, pairs/ (seeds that it adds)"""

from graft.experiment.proof import prove_transfer
from graft.project import Project
from tasks.stage import run_stage


def check_transfer(project: Project) -> None:
    prove_transfer(project)


if __name__ == "__main__":
    run_stage(check_transfer)
