"""What the tools ask and tell the balancer, and what they make of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio.balancer import Balancer, servers_of
from samstudio.cli import app
from samstudio.errors import SamstudioError
from typer.testing import CliRunner

from tools.tests import documented, stand_in_haproxy
from tools.tests.stand_in_haproxy import HAProxy

#: `show stat` of HAProxy 2.6.12, some columns cut out
STAT = """# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,addr,
sam2,gpu1,0,0,2,2,,48,5010086,5906,,0,,0,0,0,0,UP,127.0.0.1:19091,
sam2,gpu2,0,0,,0,,,0,0,,0,,0,0,0,0,DOWN,127.0.0.1:19092,

"""


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with stand_in_haproxy.running(tmp_path) as running:
        yield running


def test_servers_are_read_by_column_name() -> None:
    first, second = servers_of(STAT)
    assert (first.name, first.address, first.state, first.active, first.served) == (
        "gpu1",
        "127.0.0.1:19091",
        "UP",
        2,
        48,
    )
    assert (second.name, second.state, second.active, second.served) == ("gpu2", "DOWN", 0, 0)


def test_drained_backend_gets_nothing_new_and_finishes_what_it_has(haproxy: HAProxy) -> None:
    haproxy.busy = 2
    assert Balancer(haproxy.path).drain("gpu1", 10)
    assert haproxy.states == {"gpu1": "DRAIN", "gpu2": "UP"}
    assert haproxy.busy == 0


def test_admitting_twice_changes_nothing(haproxy: HAProxy) -> None:
    balancer = Balancer(haproxy.path)
    balancer.drain("gpu1", 10)
    assert [balancer.admit("gpu1", 10), balancer.admit("gpu1", 10)] == [True, False]
    assert haproxy.states["gpu1"] == "UP"


def test_backend_that_stays_down_is_not_admitted(haproxy: HAProxy) -> None:
    haproxy.states["gpu2"] = "DOWN"
    with pytest.raises(SamstudioError, match="gpu2") as refused:
        Balancer(haproxy.path).admit("gpu2", 0)
    assert refused.value.found == "DOWN, 0 requests in progress"


def test_unknown_backend_is_named_with_those_that_are_known(haproxy: HAProxy) -> None:
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
    printed = json.loads(done.stdout)
    documented.check(["backends", *words], printed)
    return done.exit_code, printed


def test_command_lists_drains_and_admits(haproxy: HAProxy, tmp_path: Path) -> None:
    described = {"balancer": {"socket": str(haproxy.path)}}
    code, listed = backends(tmp_path, described, "list")
    assert (code, listed["healthy"]) == (0, True)
    assert [server["name"] for server in listed["backends"]] == ["gpu1", "gpu2"]
    assert backends(tmp_path, described, "drain", "gpu1") == (0, {"changed": True, "name": "gpu1"})
    assert backends(tmp_path, described, "admit", "gpu1") == (0, {"changed": True, "name": "gpu1"})


def test_backends_that_are_down_are_no_success(haproxy: HAProxy, tmp_path: Path) -> None:
    described = {"balancer": {"socket": str(haproxy.path)}}
    haproxy.states.update(gpu1="DOWN", gpu2="DOWN")
    code, listed = backends(tmp_path, described, "list")
    assert (code, listed["healthy"]) == (1, False)
    assert [server["state"] for server in listed["backends"]] == ["DOWN", "DOWN"]
    haproxy.states.clear()
    code, said = backends(tmp_path, described, "list")
    assert code == 3
    assert said["error"]["message"] == "The balancer has no backend."


def test_command_on_a_single_host_says_that_there_is_no_balancer(tmp_path: Path) -> None:
    code, said = backends(tmp_path, {}, "list")
    assert code == 1
    assert said["error"]["message"] == "There is no balancer here."
