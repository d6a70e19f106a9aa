"""Seals for files in the user's cache, which nobody can forge without the owner's key.

A cache may be a folder on a server, or a volume that other jobs mount. Files that others put there must not become
results, so a file is not trusted for its name or for a hash that anybody can compute.
"""

import hashlib
import hmac
import logging
import os
import secrets
import stat
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from graft.core.paths import user_cache

logger = logging.getLogger(__name__)

KEY_VARIABLE = "GRAFT_CACHE_KEY"
"""Environment variable with a secret shared by users who share a cache and trust each other. Changes no result."""
NUM_KEY_BYTES = 32
LOCK_TIMEOUT_S = 10


def seal(what: str, content_sha256: str) -> str:
    """Seal of 64 hex digits, which differs for another content, another meaning of it, and another key.

    Args:
        what: everything that the content is derived from, or a fingerprint of it.
    """
    return hmac.new(_key(), f"{what}\n{content_sha256}".encode(), hashlib.sha256).hexdigest()


def key_name() -> str:
    """Name of the key, 8 hex digits that do not reveal it: files under another key are ignored."""
    return hashlib.sha256(b"name of the key" + _key()).hexdigest()[:8]


def _key() -> bytes:
    shared = os.environ.get(KEY_VARIABLE)
    return shared.encode() if shared else _own_key(user_cache() / "keys" / str(os.geteuid()))


@lru_cache
def _own_key(path: Path) -> bytes:
    """Key that only this user can read, created if there is none. If it cannot be saved, it lasts as long as the
    process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_TIMEOUT_S):
            key = _private_bytes(path)
            if key is None and path.exists():
                logger.info(f"  others may know the key {path}: a new one is created, and everything is computed again")
            return key or _new_key(path)
    except OSError as error:
        logger.info(f"  no key can be kept in {path.parent} ({error}): everything is computed again the next time")
        return secrets.token_bytes(NUM_KEY_BYTES)


def _private_bytes(path: Path) -> bytes | None:
    """Content of the key file; None if there is none, or if others may have written or read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        is_private = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        content = file.read() if is_private else b""
    return content if len(content) == NUM_KEY_BYTES else None


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(NUM_KEY_BYTES)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return key
