"""ingest: data/ -> manifest.parquet, quarantine.csv, duplicates.csv, profile.json

splits.json (the splits that earlier runs gave) is also read and written: see dvc.yaml.
"""

import subprocess
import sys
from pathlib import Path

from graft.data.folders import files_below
from graft.ingestion import ingest_data
from graft.project import Project
from tasks.stage import run_stage

DVC_CACHE = Path(".dvc/cache")
"""DVC's default cache, which holds the files of data/ if DVC links them (cache.type symlink)."""


def ingest(project: Project) -> None:
    ingest_data(project, linked_folders(project))


def linked_folders(project: Project) -> list[Path]:
    """Folders that links in data/ may point into: DVC's caches. DVC is asked, which takes a second, only if there are
    links."""
    data, default = project.data, project.root / DVC_CACHE
    if not data.is_dir() or not any((data / path).is_symlink() for path in files_below(data)):
        return [default]
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    answer = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    configured = answer.stdout.strip()
    return [default, project.root / configured] if answer.returncode == 0 and configured else [default]


if __name__ == "__main__":
    run_stage(ingest)
