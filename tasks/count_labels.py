"""count_labels: both arms with fewer labels -> labels/ (result.json, accuracies.csv, predictions.parquet)"""

from graft.experiment.label_efficiency import count_labels_saved
from graft.project import Project
from tasks.stage import run_stage


def count_labels(project: Project) -> None:
    count_labels_saved(project)


if __name__ == "__main__":
    run_stage(count_labels)
