"""A tunnel from open to closed, through pyngrok and a stand-in for the ngrok agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from samstudio.errors import SamstudioError
from samstudio.tunnel.agent import Agent
from samstudio.tunnel.keeper import Keeper
from samstudio.tunnel.state import TunnelState, read_state

from tools.tests import commands, documented

from .conftest import AUTHTOKEN, PASSWORD, USER, Seen, StartBackend

TOOLS = Path(__file__).parents[2]


class Registrar:
    """Stands for the registration with Label Studio: remembers addresses, fails when told to."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.failing = False

    def __call__(self, url: str) -> str:
        if self.failing:
            raise SamstudioError("Label Studio does not answer.")
        self.urls.append(url)
        return f"Registered {url}"


def test_the_public_address_reaches_the_backend(stand_in_agent: str, start_backend: StartBackend, seen: Seen) -> None:
    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        url = agent.open(start_backend())
        assert agent.url() == url
        assert httpx.get(f"{url}/health").json()["status"] == "UP"
        assert httpx.post(f"{url}/predict", json={}).status_code == 401
        assert httpx.post(f"{url}/predict", json={}, auth=(USER, PASSWORD)).status_code == 200
    assert agent.url() is None
    assert not alive(seen()["pid"])


def test_the_authtoken_is_on_no_command_line_and_in_no_environment(
    stand_in_agent: str, start_backend: StartBackend, seen: Seen
) -> None:
    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        agent.open(start_backend())
        started = seen()
        assert AUTHTOKEN not in Path(f"/proc/{started['pid']}/cmdline").read_text()
        assert AUTHTOKEN not in Path(f"/proc/{started['pid']}/environ").read_text()
        assert started["mode"] == "0o100600"
        assert AUTHTOKEN in Path(started["config"]).read_text()
    assert not Path(started["config"]).parent.exists()


def test_a_new_address_is_stored_and_registered_again(
    stand_in_agent: str, start_backend: StartBackend, seen: Seen, tmp_path: Path
) -> None:
    registrar, state = Registrar(), tmp_path / "state" / "tunnel.json"
    said: list[str] = []
    backend = start_backend()
    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        watch = Keeper(agent, backend, state_file=state, say=said.append, label_studio="x", register=registrar)
        watch.open()
        first = opened_tunnel(state)
        assert first.url == registrar.urls[0]
        assert state.stat().st_mode & 0o777 == 0o644

        watch.look()
        assert registrar.urls == [first.url], "nothing changed, so nothing is registered"

        os.kill(seen()["pid"], signal.SIGUSR1)
        wait_until(lambda: agent.url() not in (None, first.url))
        watch.look()
        second = opened_tunnel(state)
        assert registrar.urls == [first.url, second.url]
        assert second.url != first.url


def test_an_agent_that_dies_is_started_again(
    stand_in_agent: str, start_backend: StartBackend, seen: Seen, tmp_path: Path
) -> None:
    registrar, state = Registrar(), tmp_path / "tunnel.json"
    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        watch = Keeper(agent, start_backend(), state_file=state, say=print, label_studio="x", register=registrar)
        watch.open()
        os.kill(seen()["pid"], signal.SIGKILL)
        wait_until(lambda: agent.url() is None)
        watch.look()
        assert len(registrar.urls) == 2
        assert httpx.get(f"{registrar.urls[-1]}/health").status_code == 200


def test_a_label_studio_that_is_down_gets_the_address_later(
    stand_in_agent: str, start_backend: StartBackend, tmp_path: Path
) -> None:
    registrar, state = Registrar(), tmp_path / "tunnel.json"
    said: list[str] = []
    registrar.failing = True
    with Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        watch = Keeper(agent, start_backend(), state_file=state, say=said.append, label_studio="x", register=registrar)
        watch.open()
        assert not opened_tunnel(state).registered
        assert "Label Studio does not answer." in said[-1]
        registrar.failing = False
        watch.look()
        assert opened_tunnel(state).registered


def test_sigterm_ends_the_command_its_agent_and_its_state(
    stand_in_agent: str, start_backend: StartBackend, seen: Seen, tmp_path: Path
) -> None:
    state = tmp_path / "tunnel.json"
    with opening(tmp_path, state, start_backend(), stand_in_agent) as (run, opened):
        assert "NGROK_AUTHTOKEN" not in seen()["variables"]
        run.send_signal(signal.SIGTERM)
        output = run.communicate(timeout=20)[0]
    assert run.returncode == 0, output
    assert opened.url in output
    assert "Tunnel closed." in output
    assert AUTHTOKEN not in output
    assert not state.exists()
    assert not alive(seen()["pid"])


def test_with_json_it_prints_one_object_once_it_is_open(
    stand_in_agent: str, start_backend: StartBackend, tmp_path: Path
) -> None:
    state = tmp_path / "tunnel.json"
    with opening(tmp_path, state, start_backend(), stand_in_agent, "--json", errors=subprocess.PIPE) as (run, opened):
        assert run.stdout is not None
        told = json.loads(run.stdout.readline())
        documented.check(["tunnel", "open"], told)
        assert (told["open"], told["url"]) == (True, opened.url)
        run.send_signal(signal.SIGTERM)
        rest, progress = run.communicate(timeout=20)
    assert rest == ""
    assert "Tunnel closed." in progress


def test_status_and_close_see_what_runs(
    stand_in_agent: str, start_backend: StartBackend, seen: Seen, tmp_path: Path
) -> None:
    state = tmp_path / "tunnel.json"
    with opening(tmp_path, state, start_backend(), stand_in_agent) as (run, opened):
        told = commands.run(tmp_path, "tunnel", "status", "--state", str(state))
        assert (told["open"], told["url"]) == (True, opened.url)
        assert commands.run(tmp_path, "tunnel", "close", "--state", str(state)) == {
            "changed": True,
            "closed": opened.url,
        }
        assert "Tunnel closed." in run.communicate(timeout=20)[0]
    assert not alive(seen()["pid"])
    assert commands.invoke(tmp_path, "tunnel", "status", "--state", str(state))[0] == 3
    again = commands.run(tmp_path, "tunnel", "close", "--state", str(state))
    assert again == {"changed": False, "closed": ""}


def test_a_tunnel_that_was_killed_is_not_open_and_close_ends_what_it_left(
    stand_in_agent: str, start_backend: StartBackend, seen: Seen, tmp_path: Path
) -> None:
    state = tmp_path / "tunnel.json"
    with opening(tmp_path, state, start_backend(), stand_in_agent) as (run, opened):
        run.kill()
        run.wait()
        code, told = commands.invoke(tmp_path, "tunnel", "status", "--state", str(state))
        assert (code, told["open"]) == (1, False)
        assert "has ended" in told["wrong"]
        assert alive(seen()["pid"]), "ngrok's agent goes on without us"
        assert commands.run(tmp_path, "tunnel", "close", "--state", str(state))["closed"] == opened.url
        wait_until(lambda: not alive(seen()["pid"]))
    assert not state.exists()


@pytest.mark.parametrize("process", [0, 2**22 + 1])
def test_a_process_that_is_none_keeps_no_tunnel(process: int) -> None:
    state = TunnelState("https://x.example.com", "http://127.0.0.1:9090", "2026-11-24T00:00:00+00:00")
    assert not replace(state, process=process).is_kept
    assert not replace(state, process=os.getpid(), process_started=1).is_kept


@contextmanager
def opening(
    folder: Path, state: Path, backend: str, agent: str, *more: str, errors: int = subprocess.STDOUT
) -> Iterator[tuple[subprocess.Popen[str], TunnelState]]:
    """`samstudio tunnel open`, as a process of its own, once the tunnel is open."""
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    command = [
        *(sys.executable, "-m", "samstudio", "tunnel", "open", "--backend-url", backend, "--backend-user", USER),
        *("--password-file", str(password), "--agent", agent, "--state", str(state), "--interval", "0.1"),
        *more,
    ]
    environment = {**os.environ, "NGROK_AUTHTOKEN": AUTHTOKEN, "PYTHONPATH": str(TOOLS)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as run:
        wait_until(lambda: read_state(state) is not None or run.poll() is not None)
        opened = read_state(state)
        assert opened is not None, run.communicate()[0]
        yield run, opened


def opened_tunnel(state: Path) -> TunnelState:
    found = read_state(state)
    assert found is not None
    return found


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)
