"""The balancer's admin socket, a stand-in that speaks as HAProxy 2.6 does, and what the command makes of it."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio.balancer import Balancer, servers_of
from samstudio.cli import app
from samstudio.errors import SamstudioError
from typer.testing import CliRunner

#: `show stat` of HAProxy 2.6.12, some columns cut out
STAT = """# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,addr,
sam2,gpu1,0,0,2,2,,48,5010086,5906,,0,,0,0,0,0,UP,127.0.0.1:19091,
sam2,gpu2,0,0,,0,,,0,0,,0,,0,0,0,0,DOWN,127.0.0.1:19092,

"""


@dataclass
class StandIn:
    """HAProxy as far as the tools use it: two servers that change state at once and are never busy for long."""

    path: Path
    states: dict[str, str] = field(default_factory=lambda: {"gpu1": "UP", "gpu2": "UP"})
    #: answers to `show stat` that still tell of a request in progress
    busy: int = 0
    heard: list[str] = field(default_factory=list)

    def answer(self, command: str) -> str:
        self.heard.append(command)
        if told := re.fullmatch(r"set server sam2/(\S+) state (\S+)", command):
            name, state = told.groups()
            if name not in self.states:
                return "No such server.\n\n"
            if self.states[name] != "DOWN":
                self.states[name] = {"drain": "DRAIN", "ready": "UP"}[state]
            return "\n"
        active, self.busy = (1, self.busy - 1) if self.busy else (0, 0)
        rows = [f"sam2,{name},{active},7,{state},10.0.0.1:9090," for name, state in self.states.items()]
        return "\n".join(["# pxname,svname,scur,stot,status,addr,", *rows, "", ""])


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stand_in.path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(stand_in.answer(connection.recv(4096).decode().strip()).encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield stand_in
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_servers_are_read_by_column_name() -> None:
    first, second = servers_of(STAT)
    assert (first.name, first.address, first.state, first.active, first.served) == (
        "gpu1", "127.0.0.1:19091", "UP", 2, 48
    )  # fmt: skip
    assert (second.name, second.state, second.active, second.served) == ("gpu2", "DOWN", 0, 0)


def test_drained_backend_gets_nothing_new_and_finishes_what_it_has(haproxy: StandIn) -> None:
    haproxy.busy = 2
    assert Balancer(haproxy.path).drain("gpu1", 10)
    assert haproxy.states == {"gpu1": "DRAIN", "gpu2": "UP"}
    assert haproxy.busy == 0


def test_admitting_twice_changes_nothing(haproxy: StandIn) -> None:
    balancer = Balancer(haproxy.path)
    balancer.drain("gpu1", 10)
    assert [balancer.admit("gpu1", 10), balancer.admit("gpu1", 10)] == [True, False]
    assert haproxy.states["gpu1"] == "UP"


def test_backend_that_stays_down_is_not_admitted(haproxy: StandIn) -> None:
    haproxy.states["gpu2"] = "DOWN"
    with pytest.raises(SamstudioError, match="gpu2") as refused:
        Balancer(haproxy.path).admit("gpu2", 0)
    assert refused.value.found == "DOWN, 0 requests in progress"


def test_unknown_backend_is_named_with_those_that_are_known(haproxy: StandIn) -> None:
    with pytest.raises(SamstudioError) as refused:
        Balancer(haproxy.path).drain("gpu9", 1)
    assert refused.value.found == "gpu1, gpu2"
    assert not [command for command in haproxy.heard if command.startswith("set")]


def test_missing_socket_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(SamstudioError, match="does not answer") as refused:
        Balancer(tmp_path / "admin.sock").servers()
    assert "docker logs sam2-balancer" in refused.value.command


def backends(folder: Path, described: dict[str, Any], *words: str) -> tuple[int, dict[str, Any]]:
    (folder / "deployment.yml").write_text(yaml.safe_dump(described))
    done = CliRunner().invoke(app, ["--config-dir", str(folder), "backends", *words, "--json"])
    return done.exit_code, json.loads(done.stdout.splitlines()[0])


def test_command_lists_drains_and_admits(haproxy: StandIn, tmp_path: Path) -> None:
    described = {"balancer": {"socket": str(haproxy.path)}}
    _, listed = backends(tmp_path, described)
    assert [server["name"] for server in listed["backends"]] == ["gpu1", "gpu2"]
    assert backends(tmp_path, described, "drain", "gpu1") == (0, {"changed": True, "name": "gpu1"})
    assert backends(tmp_path, described, "admit", "gpu1") == (0, {"changed": True, "name": "gpu1"})


def test_command_on_a_single_host_says_that_there_is_no_balancer(tmp_path: Path) -> None:
    code, said = backends(tmp_path, {})
    assert code == 1
    assert said["error"]["message"] == "There is no balancer here."
