"""A start of the engine that comes too early for a container: its address is not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

LATE_ADDRESS = "10.99.0.1"
SPEAKS = "docker inspect --format '{{.State.Status}}' "


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("host", names, indirect=True)


def run(host: Any, name: str, *options: str) -> None:
    words = ("docker run --detach --restart unless-stopped --network samstudio --name", name, *options)
    host.check_output(" ".join((*words, "gpu-check:stand-in sleep 100000")))


def state(host: Any, name: str) -> str:
    return str(host.check_output(SPEAKS + name))


def error(host: Any, name: str) -> str:
    return str(host.check_output("docker inspect --format '{{.State.Error}}' " + name))


def comes_back(host: Any, name: str) -> bool:
    wait = f'for i in $(seq 60); do [ "$({SPEAKS}{name})" = running ] && exit 0; sleep 1; done; exit 1'
    return bool(host.run(wait).rc == 0)


@pytest.fixture
def network(host: Any) -> Iterator[None]:
    host.check_output("docker network create samstudio")
    yield
    host.run("docker rm --force $(docker ps --all --quiet --filter network=samstudio)")
    host.run("docker network rm samstudio")
    host.run(f"ip address del {LATE_ADDRESS}/32 dev lo")


@on("gpu-runtime")
@pytest.mark.usefixtures("network")
def test_an_address_that_comes_late(host: Any) -> None:
    host.check_output(f"ip address add {LATE_ADDRESS}/32 dev lo")
    run(host, "late", f"--publish {LATE_ADDRESS}:9090:9090")
    run(host, "stopped-by-hand")
    run(host, "given-up", f"--publish {LATE_ADDRESS}:9091:9091")
    host.check_output("docker stop --time 1 stopped-by-hand")
    host.check_output("docker update --restart=no given-up")
    host.check_output(f"ip address del {LATE_ADDRESS}/32 dev lo")
    # As a boot: no container survives it, although this engine's configuration has live-restore.
    host.check_output("systemctl stop docker.socket docker && pkill --signal KILL --exact sleep")
    host.check_output("systemctl start docker")
    assert state(host, "late") == "exited"
    assert "cannot assign requested address" in error(host, "late")

    host.check_output(f"ip address add {LATE_ADDRESS}/32 dev lo")
    assert comes_back(host, "late")
    assert state(host, "stopped-by-hand") == "exited"
    assert state(host, "given-up") == "exited"
    assert host.check_output("systemctl show --property=Result --value samstudio-containers") == "success"
