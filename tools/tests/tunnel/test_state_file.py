"""A tunnel whose address cannot be written down is refused before anybody is told it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from samstudio.tunnel.agent import Agent
from samstudio.tunnel.keeper import Keeper

from tools.tests import documented
from tools.tests.commands import typed

from .conftest import AUTHTOKEN, PASSWORD, USER, StartBackend
from .test_tunnel import Registrar, opened_tunnel


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A port in Label Studio's place that only writes down what it is asked: its URL, and the requests."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_error(503)

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("password/state.json", id="below a file"),
        pytest.param("folder", id="a folder in its place"),
        pytest.param("/proc/samstudio/state.json", id="a file system that takes no folders"),
        pytest.param("/proc/state.json", id="a file system that takes no files"),
        pytest.param("/", id="no file's name"),
    ],
)
def test_nothing_is_opened_or_registered(
    state: str,
    asked: tuple[str, list[str]],
    stand_in_agent: str,
    start_backend: StartBackend,
    tmp_path: Path,
) -> None:
    url, requests = asked
    (tmp_path / "folder").mkdir()
    for name, secret in (("password", PASSWORD), ("token", "x" * 40)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(secret)
    ran = typed(
        *("--config-dir", str(tmp_path), "tunnel", "open", "--json", "--state", str(tmp_path / state)),
        *("--backend-url", start_backend(), "--backend-user", USER, "--password-file", str(tmp_path / "password")),
        *("--label-studio-url", url, "--token-file", str(tmp_path / "token"), "--project", "1"),
        *("--agent", stand_in_agent),
        NGROK_AUTHTOKEN=AUTHTOKEN,
        STAND_IN_SEEN=str(tmp_path / "seen.json"),
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    told = json.loads(ran.stdout)
    documented.check(["tunnel", "open"], told)
    assert "not writable" in told["error"]["message"]
    assert "--state FILE" in told["error"]["command"]
    assert requests == []
    assert not (tmp_path / "seen.json").exists(), "the agent was started"


def test_a_disk_that_fills_up_after_the_start_leaves_nothing_registered(
    stand_in_agent: str, start_backend: StartBackend, tmp_path: Path
) -> None:
    """The address is written down first; a folder in the file's place refuses it as a full disk does."""
    registrar, state = Registrar(), tmp_path / "state.json"
    state.mkdir()
    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        keeper = Keeper(agent, start_backend(), state_file=state, say=print, label_studio="x", register=registrar)
        with pytest.raises(OSError, match="state"):
            keeper.open()
    assert registrar.urls == []


def test_one_that_is_interrupted_while_it_registers_leaves_no_address_behind(
    stand_in_agent: str, start_backend: StartBackend, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"

    def interrupted(_: str) -> str:
        assert not opened_tunnel(state).registered
        raise KeyboardInterrupt

    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        keeper = Keeper(agent, start_backend(), state_file=state, say=print, label_studio="x", register=interrupted)
        with pytest.raises(KeyboardInterrupt):
            keeper.open()
    assert not state.exists()
