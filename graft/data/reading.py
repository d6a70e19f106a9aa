"""Reads one file of a data folder: its bytes and measurements, or why it cannot be used."""

import errno
import hashlib
import os
import stat
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path

from graft.core.files import fingerprint
from graft.core.results_versions import results_version
from graft.modalities.base import Modality, Reading, Unusable

MAX_BYTES = 500_000_000
FILE_REMEDIES = {
    "missing": "restore the file, or remove its row from the table",
    "outside": "copy the file into the data folder, or tell DVC that its cache is there (dvc config cache.dir)",
    "not_a_file": "remove it: only ordinary files are read",
    "no_permission": "allow it to be read (chmod a+r)",
    "unreadable": "see the reason; check the disk",
    "bad_name": "rename it; its name is not valid UTF-8",
    "same_name": "rename one: on file systems that ignore case and accents, one would overwrite the other",
    "empty": "copy it again: it is empty",
    "damaged": "copy it again, or open it in another program and save it again: its content is damaged",
    "too_large": f"make it smaller than {MAX_BYTES / 1e6:.0f} MB",
}
"""Reason for quarantine, for files of any modality -> what to do about it."""


def read_sample(
    path: Path, roots: Collection[Path], modality: Modality, accept: Collection[str], *, with_signature: bool = True
) -> Reading:
    """Reads a file; never raises for any content.

    Args:
        roots: resolved folders that links may point into.
        accept, with_signature: see `Modality.read`.
    """
    reading = Reading()
    try:
        content = _read_bytes(path, roots)
        reading = Reading(sample_id=hashlib.sha256(content).hexdigest(), num_bytes=len(content))
        found = modality.read(content, path.name, accept, with_signature=with_signature)
        return found._replace(sample_id=reading.sample_id, num_bytes=reading.num_bytes)
    except Unusable as reason:
        return reading._replace(status=str(reason))
    except Exception as error:  # whatever a decoder raises for a broken file is that file's reason, not our crash
        words = " ".join(f"{error}".split())
        return reading._replace(status=f"damaged: {type(error).__name__}: {words}")


def remedies_of(modality: Modality) -> Mapping[str, str]:
    """Reason for quarantine -> what to do about it."""
    return {**FILE_REMEDIES, **modality.remedies}


def decoding(modality: Modality) -> str:
    """Fingerprint of everything that readings and tensors depend on besides a file's bytes: the version of ingest's
    results and the modality's decoder. Cached values of another fingerprint are not used."""
    return fingerprint(results_version("ingest"), modality.name, *modality.decoder)


def _read_bytes(path: Path, roots: Collection[Path]) -> bytes:
    try:
        target = path.resolve() if path.is_symlink() else _resolved_folder(path.parent.absolute()) / path.name
        if not any(target.is_relative_to(root) for root in roots):
            raise Unusable("outside", f"it leads out of the data folder, to {target}")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Unusable("not_a_file", stat.filemode(found.st_mode))
        if found.st_size > MAX_BYTES:
            raise Unusable("too_large", f"{found.st_size / 1e6:.0f} MB")
        content = path.read_bytes()
    except OSError as error:
        code = {errno.ENOENT: "missing", errno.EACCES: "no_permission", errno.EPERM: "no_permission"}
        words = os.strerror(error.errno) if error.errno else str(error)
        raise Unusable(code.get(error.errno or 0, "unreadable"), words) from error
    if not content:
        raise Unusable("empty", "0 bytes")
    return content


@lru_cache(maxsize=1024)
def _resolved_folder(folder: Path) -> Path:
    return folder.resolve()
