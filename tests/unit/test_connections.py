"""Servers that are dead, silent, strangers or behind a proxy: found out at once, and told in one sentence."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from conftest import PROJECT, run
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from servers import Answer, serving
from silence import dead_address, silent_server

from flows import connections, server
from flows.connections import is_listening, reach_loopback_directly, require_prefect, require_servers
from graft.core import tracking
from graft.core.errors import ServerError, StageFailedError
from graft.core.tracking import require_tracking


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CHECK_TIMEOUT_S", 1)
    monkeypatch.setattr(tracking, "CHECK_TIMEOUT_S", 1)
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # so that what is set within is undone
        monkeypatch.delenv(name)


def _refusal(address: str) -> str:
    started_s = time.monotonic()
    with pytest.raises(ServerError) as caught:
        require_prefect(address)
    assert time.monotonic() - started_s < 30  # a hang, not a speed
    said = str(caught.value)
    assert said.count("\n") == 0
    assert "PREFECT_API_URL" in said
    return said


def test_a_dead_prefect_api_is_named_without_its_password() -> None:
    address = dead_address().replace("://", "://anna:s3cret@") + "/api"
    said = _refusal(address)
    assert "nothing listens there" in said
    assert "s3cret" not in said
    assert "***@127.0.0.1" in said


def test_a_silent_prefect_api_is_not_waited_for() -> None:
    with silent_server() as address:
        assert "does not answer within 1 s" in _refusal(f"{address}/api")


def test_a_server_that_is_no_prefect_api_is_told_from_one() -> None:
    with serving({"/": Answer(b"<html>")}) as other:
        assert "not a Prefect API" in _refusal(other.address)
    assert "no address" in _refusal("prefect.example:4200/api")


def test_a_call_to_this_machine_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, dead_address())
    with serving({"/": Answer(b"here")}) as local:
        with pytest.raises(httpx.ConnectError):
            httpx.get(local.address)
        reach_loopback_directly()
        assert httpx.get(local.address).content == b"here"
        child = [sys.executable, "-c", f"import httpx; print(httpx.get({local.address!r}).text)"]
        assert subprocess.run(child, capture_output=True, text=True).stdout == "here\n"
    assert os.environ["NO_PROXY"].split(",")[0] == "intranet.example"


def test_a_proxy_that_cannot_be_used_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://anna:s3cret@127.0.0.1:9")
    with pytest.raises(ServerError, match="ALL_PROXY") as caught:
        require_servers(tmp_path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_dead_mlflow_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str) -> None:
    address = dead_address().replace("http://", f"{scheme}://anna:s3cret@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(ServerError, match="MLFLOW_TRACKING_URI") as caught:
        require_servers(tmp_path)
    said = str(caught.value)
    assert "s3cret" not in said
    assert said.count("\n") == 0
    if scheme == "http":
        assert "nothing listens there" in said


def test_a_silent_mlflow_is_not_waited_for() -> None:
    started_s = time.monotonic()
    with silent_server() as address, pytest.raises(ServerError, match="does not answer within 1 s"):
        require_tracking(address, "graft")
    assert time.monotonic() - started_s < 30


def test_a_server_that_is_no_mlflow_is_told_from_one() -> None:
    with serving({}) as other, pytest.raises(ServerError, match="not an MLflow server"):
        require_tracking(other.address, "graft")


def test_a_database_that_cannot_be_opened_is_tried_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database, though long enough to be read as the head of one" * 20)
    with pytest.raises(ServerError, match="not a database"):
        require_tracking(f"sqlite:///{tmp_path}/mlflow.db", "graft")


def test_a_stranger_on_the_port_of_the_local_server_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "START_TIMEOUT_S", 1)
    with serving({"/api/health": Answer(b"true")}) as stranger:
        ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            with pytest.raises(StageFailedError, match="did not start"):
                server._wait_until_healthy(ours, f"{stranger.address}/api", tmp_path / "log")
            assert is_listening(os.getpid(), stranger.address)
        finally:
            ours.kill()
            ours.wait()


def test_the_page_of_the_local_server_calls_that_server_and_asks_for_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "left:over")
    told = connections.server_environment("http://127.0.0.1:5001/api", connections.new_auth_string())
    assert told["PREFECT_UI_API_URL"] == "http://127.0.0.1:5001/api"
    assert len(told["PREFECT_SERVER_API_AUTH_STRING"]) > 20
    assert connections.new_auth_string() != connections.new_auth_string()


@pytest.mark.parametrize("chosen", ["", "anna:s3cret"])
def test_no_secret_of_the_local_server_reaches_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: str
) -> None:
    secrets_given: list[str] = []

    def start(_: Path, auth_string: str) -> str:
        secrets_given.append(auth_string)
        return "http://127.0.0.1:5001/api"

    monkeypatch.setattr(server, "_start_server", start)
    monkeypatch.setattr(server, "end_abandoned_flow_runs", lambda: None)
    with (
        temporary_settings({PREFECT_API_URL: None, PREFECT_SERVER_API_AUTH_STRING: chosen}),
        server.prefect_server(tmp_path) as address,
    ):
        assert PREFECT_API_URL.value() == address
        assert PREFECT_API_AUTH_STRING.value() == secrets_given[0]
    said = capsys.readouterr().out
    assert "http://127.0.0.1:5001 " in said
    assert secrets_given[0] not in said
    assert (secrets_given[0] == chosen) == bool(chosen)


@pytest.mark.parametrize(
    ("profiles", "environment", "said"),
    [('active = "x\n', {}, r"line 1, column \d+"),
     ("[profiles.mine]\nPREFECT_CLIENT_MAX_RETRIES = 'many'", {"PREFECT_PROFILE": "mine"}, "max_retries: Input"),
     ("", {"PREFECT_API_REQUEST_TIMEOUT": "secret"}, "request_timeout: Input")],
    ids=["toml", "profile", "environment"],
)  # fmt: skip
def test_settings_of_prefect_that_cannot_be_read_are_one_sentence(
    tmp_path: Path, profiles: str, environment: dict[str, str], said: str
) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(profiles)
    done = run(PROJECT, sys.executable, "-c", "import flows", PREFECT_PROFILES_PATH=str(path), **environment)
    assert done.returncode == 1
    assert re.search(rf"Prefect's settings cannot be read: .*{said}", done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("Correct it there.\n")
