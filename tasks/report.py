"""report: everything -> report.html, one page with plots and images"""

from graft.project import Project
from graft.report.content import write_report
from tasks.stage import run_stage


def report(project: Project) -> None:
    write_report(project)


if __name__ == "__main__":
    run_stage(report)
