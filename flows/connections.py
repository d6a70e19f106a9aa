"""Servers that a flow uses: checked before any work, and contacted without a proxy if they are on this machine."""

import os
import secrets
from pathlib import Path
from urllib.request import getproxies

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from flows.effects import EXPERIMENT
from graft.core.addresses import why_unusable
from graft.core.errors import ServerError
from graft.core.paths import tracking_database, tracking_uri

CHECK_TIMEOUT_S = 8
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def require_servers(project: Path) -> None:
    """
    Raises:
        ServerError: Prefect's API or MLflow, as the environment or Prefect's profile names them, cannot be used.
    """
    reach_loopback_directly()
    _require_usable_proxies()
    if address := PREFECT_API_URL.value():
        require_prefect(address)
    if os.environ.get("MLFLOW_TRACKING_URI") or tracking_database(project).exists():
        from graft.core.tracking import require_tracking  # mlflow costs seconds

        require_tracking(tracking_uri(project), EXPERIMENT)


def reach_loopback_directly() -> None:
    """Excludes this machine from HTTP_PROXY and ALL_PROXY, for this process and its children."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in known.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(hosts)


def require_prefect(address: str) -> None:
    """
    Raises:
        ServerError: no Prefect API answers there, or it refuses this user.
    """
    once = {PREFECT_API_URL: address, PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: CHECK_TIMEOUT_S}
    try:
        with temporary_settings(once), get_client(sync_client=True) as client:
            client.read_flows(limit=1)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise ServerError(
            f"Prefect's API at {address} cannot be used: {_reason(error)}. PREFECT_API_URL or the active Prefect "
            "profile names it; correct that, start the server, or set PREFECT_API_URL to nothing to run a local one."
        ) from None  # the traceback of the original error shows the password


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        if status in (401, 403):
            return f"it refuses this user ({status}). Set PREFECT_API_AUTH_STRING, or PREFECT_API_KEY for Prefect Cloud"
        if status in (404, 405, 501):
            return f"what answers there is not a Prefect API ({status}); the address of one ends in /api"
        return f"it answers with status {status}"
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return "that is not an address; one looks like http://host:4200/api"
    if isinstance(error, ValueError):
        return "what answers there is not a Prefect API; the address of one ends in /api"
    return why_unusable(error, CHECK_TIMEOUT_S)


def _require_usable_proxies() -> None:
    """Checks the proxies of the environment, which httpx parses for every client, even for an address that needs none.

    Raises:
        ServerError: httpx does not understand them.
    """
    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = ", ".join(f"{kind.upper()}_PROXY" for kind in getproxies() if kind != "no")
        raise ServerError(
            f"the proxies of the environment ({names}) cannot be used: {why_unusable(error, 0)} Unset or correct them "
            "for this command."
        ) from error


def server_environment(address: str, auth_string: str) -> dict[str, str]:
    """Environment of a local Prefect server: its page uses this address, not port 4200, and clients need the secret."""
    return {
        **os.environ,
        "PREFECT_UI_API_URL": address,
        "PREFECT_SERVER_UI_API_URL": address,
        "PREFECT_SERVER_API_AUTH_STRING": auth_string,
        "PREFECT_SERVER_API_BASE_PATH": "/api",
        "PREFECT_API_URL": address,
    }


def new_auth_string() -> str:
    """Secret of a local server. It exists only in the environments of this process and the server."""
    return f"graft:{secrets.token_urlsafe(16)}"


def is_listening(process_id: int, address: str) -> bool:
    """Whether the process or one of its children listens there, rather than another one that took the port first."""
    try:
        process = psutil.Process(process_id)
        family = [process, *process.children(recursive=True)]
        sockets = [found for member in family for found in member.net_connections(kind="tcp")]
    except psutil.Error:
        return False
    port = httpx.URL(address).port
    return any(found.status == psutil.CONN_LISTEN and found.laddr.port == port for found in sockets)
