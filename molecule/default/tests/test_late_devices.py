"""A start of the engine that comes before a GPU's CDI specification, as a boot may.

A real engine, which cannot start such a container by itself (26.1, moby issue 49989); the device is a stand-in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

DEVICE = {"name": "0", "containerEdits": {"env": ["GPU=0"]}}
SPECIFICATION = {"cdiVersion": "0.5.0", "kind": "stand-in.example.com/gpu", "devices": [DEVICE]}
FOLDER = "/var/run/cdi"


def write_specification(host: Any) -> None:
    """As nvidia-ctk does: beside its place, then there."""
    host.check_output(f"mkdir -p {FOLDER} && echo '{json.dumps(SPECIFICATION)}' > {FOLDER}/new.tmp")
    host.check_output(f"mv {FOLDER}/new.tmp {FOLDER}/late.json")


def wait(host: Any, command: str, value: str) -> None:
    waited = host.run(f'for i in $(seq 60); do [ "$({command})" = "{value}" ] && exit 0; sleep 1; done; exit 1')
    assert waited.rc == 0, host.run(command).stdout


@pytest.fixture
def cdi(host: Any) -> Iterator[None]:
    host.check_output("""mkdir -p /etc/docker && echo '{"features": {"cdi": true}}' > /etc/docker/daemon.json""")
    write_specification(host)
    host.check_output("systemctl restart docker")
    yield
    host.run("docker rm --force late")
    host.check_output(f"rm -r /etc/docker/daemon.json {FOLDER} && systemctl restart docker")
    wait(host, "docker ps --quiet --filter health=starting --filter health=unhealthy", "")


@pytest.mark.usefixtures("cdi")
def test_a_container_whose_gpu_comes_after_the_engine_is_started(host: Any) -> None:
    image = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}' samstudio/base").splitlines()[0]
    options = "--restart unless-stopped --stop-timeout 1 --network samstudio --device stand-in.example.com/gpu=0"
    host.check_output(f"docker create --name late {options} {image} sleep infinity")
    wait(host, "docker start late", "late")
    # As a boot: the folder of the specifications is in memory.
    host.check_output(f"systemctl stop docker.socket docker && rm -r {FOLDER} && systemctl start docker")
    shown = "docker inspect --format '{{.State.Status}} {{.State.Error}}' late"
    assert "exited" in host.check_output(shown)
    assert "cdi" in host.check_output(shown).lower()

    write_specification(host)
    wait(host, "docker inspect --format '{{.State.Status}}' late", "running")
    environment = "tr '\\0' '\\n' < /proc/$(docker inspect --format '{{.State.Pid}}' late)/environ"
    assert "GPU=0" in host.check_output(environment).splitlines()
