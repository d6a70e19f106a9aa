"""Prefect's own local server for the time of a run, unless one is configured (PREFECT_API_URL)."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from graft.errors import StageFailedError

START_TIMEOUT_S = 120


@contextmanager
def prefect_server(log_dir: Path) -> Iterator[str]:
    """Yields the address of the API. A server started here keeps its database, so that earlier runs stay visible.

    It runs in a session of its own, so that Ctrl-C reaches the flow first and the flow can still report its end.

    Raises:
        StageFailedError: the server did not come up; its log says why.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    log_dir.mkdir(parents=True, exist_ok=True)
    log_path = log_dir / "prefect-server.log"
    with log_path.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(server, address, log_path)
        with temporary_settings({PREFECT_API_URL: address}):
            yield address
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_until_healthy(server: subprocess.Popen[bytes], address: str, log_path: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{address}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise StageFailedError(
        f"Prefect's local server did not start; its database is in {PREFECT_HOME.value()}. Its log: {log_path}"
    )
