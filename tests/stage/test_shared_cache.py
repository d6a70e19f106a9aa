"""Data that DVC links into a cache which several projects share."""

from pathlib import Path

import pytest
from pictures import IMAGES, NOTHING_GIVEN, RULES, save_noise

from graft.data.build import IngestRules, build_manifest
from graft.project import Project
from tasks.ingest import linked_folders

CONFIG = "[core]\n    no_scm = true\n[cache]\n    dir = ../../shared\n    type = symlink\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose pictures are links into ../shared, but for one that leads elsewhere."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(CONFIG)
    (folder / "artifacts").mkdir()
    monkeypatch.chdir(folder)
    for number in range(6):
        label = "cat" if number % 2 else "dog"
        cached = tmp_path / "shared" / "files" / "md5" / f"{number:02}" / "content.png"
        if number == 5:
            cached = tmp_path / "other" / "content.png"
        save_noise(cached, seed=number)
        (folder / "data" / label).mkdir(parents=True, exist_ok=True)
        (folder / "data" / label / f"{number}.png").symlink_to(cached)
    return folder


def test_links_into_the_cache_that_dvc_names_are_used_and_others_are_not(project: Path) -> None:
    def quarantined(linked: list[Path]) -> list[str]:
        index = project / ".graft" / "data_index.sqlite"
        build_manifest(Path("data"), Path("artifacts"), index, IMAGES, IngestRules(**RULES), NOTHING_GIVEN, linked)  # type: ignore[arg-type]
        rows = (project / "artifacts" / "quarantine.csv").read_text().splitlines()[1:]
        return [row.partition(",")[0] for row in rows if "outside" in row]

    assert len(quarantined([])) == 6  # and what was found out without the cache is not remembered with it
    assert quarantined(linked_folders(Project())) == ["cat/5.png"]


def test_dvc_is_not_asked_where_nothing_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_noise(tmp_path / "data" / "cat" / "1.png", seed=1)
    monkeypatch.setattr("tasks.ingest.subprocess", None)
    assert linked_folders(Project()) == [Path(".dvc/cache")]
