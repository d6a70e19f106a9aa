"""Real weights by every scheme, from real servers."""

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import timm
import torch
from conftest import PROJECT, user_environment
from safetensors.torch import save
from servers import Answer, serving

from graft.core.errors import DownloadError, HashMismatchError
from graft.hub.cache import weights_folder
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.fetch import cached_weights, fetch_weights, pinned
from graft.hub.weights import load_backbone

OFFICIAL = "/models/mobilenet_v2-b0353104.pth"
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
HUB_PATH = "/timm/tf_efficientnet_lite0.in1k/resolve/v1/model.safetensors"
FETCH = """
from pathlib import Path
from graft.hub.catalogue import load_catalogue
from graft.hub.fetch import fetch_weights
print(fetch_weights(load_catalogue(Path("sources.yaml"))["official"]))
"""


@pytest.fixture(scope="session")
def official_bytes() -> bytes:
    """torchvision's own file, which also lies in a package."""
    return fetch_weights(load_catalogue(PROJECT / "sources.yaml")["mobilenet_v2"]).read_bytes()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a catalogue of one torchvision source."""
    text = (PROJECT / "sources.yaml").read_text()
    entry = text[text.index("\nmobilenet_v2:") : text.index("  weights:\n", text.index("\nmobilenet_v2:"))]
    weights = "  weights: {scheme: torchvision, enum: MobileNet_V2_Weights.IMAGENET1K_V1}\n"
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "sources.yaml").write_text(entry.replace("mobilenet_v2:", "official:") + weights)
    return folder


def _official() -> Source:
    known = load_catalogue(PROJECT / "sources.yaml")["mobilenet_v2"].model_dump()
    return Source(**known | {"weights": {"scheme": "torchvision", "enum": "MobileNet_V2_Weights.IMAGENET1K_V1"}})


def _start_fetch(project: Path, cache: Path, mirror: str) -> subprocess.Popen[str]:
    environment = user_environment(GRAFT_CACHE=str(cache), GRAFT_TORCHVISION_MIRROR=mirror, PYTHONPATH=str(PROJECT))
    return subprocess.Popen(
        [sys.executable, "-c", FETCH], cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_the_official_file_comes_from_a_mirror_once_and_is_pinned_by_its_whole_hash(
    own_cache: Path, official_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cached_weights(_official()) is None
    with serving({OFFICIAL: Answer(official_bytes)}) as server:
        monkeypatch.setenv("GRAFT_TORCHVISION_MIRROR", server.address + "/")
        source = pinned(_official())
        assert fetch_weights(source) == fetch_weights(_official())
    assert server.asked == [OFFICIAL]
    assert source.weights_sha256 == SHA256
    path = fetch_weights(source)
    assert path.is_relative_to(own_cache)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def test_two_processes_that_fetch_the_same_file_at_once_both_end_with_a_whole_one(
    own_cache: Path, project: Path, official_bytes: bytes
) -> None:
    both_are_halfway = threading.Barrier(2)
    with serving({OFFICIAL: Answer(official_bytes, halfway=lambda: both_are_halfway.wait(60))}) as server:
        fetches = [_start_fetch(project, own_cache, server.address) for _ in range(2)]
        printed = [fetch.communicate()[0].strip() for fetch in fetches]
    assert [fetch.returncode for fetch in fetches] == [0, 0]
    assert server.asked == [OFFICIAL, OFFICIAL]
    assert printed[0] == printed[1]
    assert hashlib.sha256(Path(printed[0]).read_bytes()).hexdigest() == SHA256
    assert [path.name for path in (own_cache / "weights").iterdir()] == [Path(printed[0]).name]


def test_a_killed_fetch_leaves_no_file_that_a_later_one_would_take(
    own_cache: Path, project: Path, official_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_halfway, is_killed = threading.Event(), threading.Event()

    def wait_for_the_end() -> None:
        is_halfway.set()
        is_killed.wait(60)

    with serving({OFFICIAL: Answer(official_bytes, halfway=wait_for_the_end)}) as server:
        fetch = _start_fetch(project, own_cache, server.address)
        assert is_halfway.wait(60)
        deadline = time.monotonic() + 30
        while not any(weights_folder().rglob("*.pth")) and time.monotonic() < deadline:
            time.sleep(0.05)
        fetch.kill()
        fetch.wait()
        is_killed.set()
    left = list(weights_folder().iterdir())
    assert [path.name.startswith(".arriving-") for path in left] == [True]
    with serving({OFFICIAL: Answer(official_bytes)}) as server:
        monkeypatch.setenv("GRAFT_TORCHVISION_MIRROR", server.address)
        assert hashlib.sha256(fetch_weights(_official()).read_bytes()).hexdigest() == SHA256


def _from_hub(sha256: str) -> Source:
    known = load_catalogue(PROJECT / "sources.yaml")["efficientnet_lite0"].model_dump()
    weights = {"scheme": "timm", "model": "tf_efficientnet_lite0.in1k", "revision": "v1", "sha256": sha256}
    return Source(**known | {"weights": weights | {"head": [r"^classifier\."]}})


def _hub_answer(content: bytes, **changes: object) -> Answer:
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "ab" * 20}
    return Answer(content, **{"headers": headers} | changes)  # type: ignore[arg-type]


def test_timm_weights_come_from_the_hub_that_hf_endpoint_names(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    content = save(network.state_dict())
    source = _from_hub(hashlib.sha256(content).hexdigest())
    with serving({HUB_PATH: _hub_answer(content)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        backbone = load_backbone(source)
    assert server.asked == [HUB_PATH]
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.forward_features(pictures).mean(dim=(2, 3))
        torch.testing.assert_close(backbone(pictures), expected, atol=1e-4, rtol=1e-4)
    assert [path.parent.name for path in own_cache.rglob("*.safetensors")] == ["weights"]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (_hub_answer(b"tampered"), "sha256 is"),
        (_hub_answer(b"<html>Log in</html>", content_type="text/html"), "sha256 is"),
        (_hub_answer(b"x" * 1000, num_bytes_sent=0), "could not download"),
        (Answer(b"", status=404, headers={"X-Error-Code": "EntryNotFound"}), "pickles and are never loaded"),
        (Answer(b"", status=404, headers={"X-Error-Code": "RepoNotFound"}), r"the hub has no timm/tf_eff"),
        (Answer(b"", status=404, headers={"X-Error-Code": "RevisionNotFound"}), "at revision v1"),
    ],
    ids=["tampered", "page", "closed early", "only a pickle", "no such model", "no such revision"],
)
def test_whatever_else_a_hub_answers_is_refused_and_nothing_is_kept(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, complaint: str
) -> None:
    with serving({HUB_PATH: answer}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        with pytest.raises((DownloadError, HashMismatchError), match=complaint):
            fetch_weights(_from_hub("ab" * 32))
    assert list((own_cache / "weights").iterdir()) == []
