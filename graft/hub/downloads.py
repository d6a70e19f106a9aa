"""Downloads by address, with time limits and a bounded number of tries.

The hash is not checked here: callers must check it before anything reads the file.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from graft.core.errors import DownloadError
from graft.core.files import require_disk_space
from graft.core.progress import progress_bar

NUM_TRIES = 4
FIRST_PAUSE_S = 1.0
"""Pause before the second try; doubled before each further one."""
CONNECT_TIMEOUT_S = 10
SILENCE_TIMEOUT_S = 60
"""Longest time for which a server may send nothing."""
CHUNK_BYTES = 1_000_000
STATUSES_OF_BUSY_SERVERS = (408, 425, 429, 500, 502, 503, 504)


def download(address: str, path: Path) -> None:
    """
    Raises:
        DownloadError: no answer in `NUM_TRIES` tries, or the server refused.
        DiskSpaceError: there is no room for the announced size.
    """
    import requests  # costs a tenth of a second, and most commands never need it

    for attempt in range(1, NUM_TRIES + 1):
        try:
            _try_once(address, path)
            return
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            may_pass = status in STATUSES_OF_BUSY_SERVERS if status else _is_network_error(error)
            if not may_pass or attempt == NUM_TRIES:
                tries = "once" if attempt == 1 else f"{attempt} times"
                raise DownloadError(
                    f"could not download {address} (tried {tries}): {error}\n"
                    "Check the network and the proxy settings (HTTPS_PROXY, NO_PROXY), and run again."
                ) from error
        time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))


def _is_network_error(error: Exception) -> bool:
    import requests

    broken_off = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, broken_off) and not isinstance(error, requests.exceptions.SSLError)


def _try_once(address: str, path: Path) -> None:
    import requests

    plain = {"Accept-Encoding": "identity"}  # so that Content-Length counts what arrives
    limits = (CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S)
    with requests.get(address, stream=True, timeout=limits, headers=plain) as response:
        response.raise_for_status()
        announced = response.headers.get("Content-Length", "")
        num_bytes = int(announced) if announced.isdecimal() else None
        require_disk_space(path.parent, num_bytes or 0)
        with path.open("wb") as file, _megabytes(path.name, num_bytes) as advance:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                advance()


def _megabytes(name: str, num_bytes: int | None) -> AbstractContextManager[Callable[..., None]]:
    if num_bytes is None:
        return nullcontext(lambda: None)
    return progress_bar(f"downloading {name}, MB", -(-num_bytes // CHUNK_BYTES))
