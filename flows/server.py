"""Local Prefect server for the duration of a run, unless one is configured (PREFECT_API_URL)."""

import atexit
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)

from flows.abandoned import end_abandoned_flow_runs
from flows.connections import is_listening, new_auth_string, reach_loopback_directly, server_environment
from graft.core.addresses import without_passwords
from graft.core.errors import StageFailedError
from infra.child import child_command

START_TIMEOUT_S = 120


@contextmanager
def prefect_server(log_dir: Path) -> Iterator[str]:
    """Yields the address of the API that a flow inside reports to.

    A server started here keeps its database, so earlier runs stay visible. It runs in its own session, so that Ctrl-C
    reaches only the flow, which can still report its end. It is stopped when this process exits, not with the block,
    because Prefect's threads deliver their last messages after the flow has returned. If this process is killed, the
    server ends by itself (infra/child.py). Clients need its secret: PREFECT_SERVER_API_AUTH_STRING, or else one that
    is generated for this run.

    Raises:
        StageFailedError: the server did not start; its log says why.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        print(f"Prefect runs at {without_passwords(configured.removesuffix('/api'))}", flush=True)
        yield configured
        return
    reach_loopback_directly()
    chosen = PREFECT_SERVER_API_AUTH_STRING.value()
    auth_string = chosen or new_auth_string()
    address = _start_server(log_dir, auth_string)
    asked = "PREFECT_SERVER_API_AUTH_STRING" if chosen else _shown_to_a_person(auth_string)
    print(f"Prefect runs at {address.removesuffix('/api')} until this is done; its page asks for {asked}", flush=True)
    with temporary_settings({PREFECT_API_URL: address, PREFECT_API_AUTH_STRING: auth_string}):
        end_abandoned_flow_runs()
        yield address


def _shown_to_a_person(auth_string: str) -> str:
    """The secret on a terminal; a hint in logs, which others can read."""
    return auth_string if sys.stdout.isatty() else "a secret (set PREFECT_SERVER_API_AUTH_STRING to choose it)"


def _start_server(log_dir: Path, auth_string: str) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    log_dir.mkdir(parents=True, exist_ok=True)
    log_path = log_dir / "prefect-server.log"
    with log_path.open("w") as log:
        server = subprocess.Popen(
            child_command("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)),
            env=server_environment(address, auth_string),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    atexit.register(_stop_server, server)
    _wait_until_healthy(server, address, log_path)
    return address


def _stop_server(server: subprocess.Popen[bytes]) -> None:
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
            is_healthy = httpx.get(f"{address}/health", timeout=2, trust_env=False).status_code == 200
            if is_healthy and is_listening(server.pid, address):
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise StageFailedError(
        f"Prefect's local server did not start; its database is in {PREFECT_HOME.value()}. Its log: {log_path}"
    )
