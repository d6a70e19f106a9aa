"""export: model, verdict -> onnx/ (ONNX file, model card), export.json; a rejected model is refused"""

from graft.project import Project
from graft.serving.export import export_model
from tasks.stage import run_stage


def export(project: Project) -> None:
    export_model(project)


if __name__ == "__main__":
    run_stage(export)
