"""Causes that only containers have, with real ones: the host's userland on a network of its own, no image pulled."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException
from samstudio.doctor.link import Known, Result, Status
from samstudio.doctor.links import containers, network
from samstudio.doctor.pair import Pair
from samstudio.labelstudio.own_records import OwnRecords

from tools.tests import userland
from tools.tests.doctor.produced import produces

pytestmark = pytest.mark.integration

Start = Callable[..., str]
PREFIX = "connect-doctor"
NOTHING = Known()
#: Listens on a port, as python is called in Label Studio's image too.
SERVE = ["python", "-m", "http.server", "9090"]


@pytest.fixture
def run(engine: docker.DockerClient, image: str) -> Iterator[Start]:
    made = []
    network = engine.networks.create(f"{PREFIX}-{uuid.uuid4().hex[:8]}")

    def start(role: str, command: list[str], **options: Any) -> str:
        name = f"{PREFIX}-{role}-{uuid.uuid4().hex[:8]}"
        container = engine.containers.create(
            image,
            command,
            name=name,
            network=network.name,
            **userland.OPTIONS,
            **options,
        )
        made.append(container)
        container.start()
        return name

    yield start
    for container in made:
        container.remove(force=True)
    network.remove()


def pair(studio: str, model: str, **changes: Any) -> Pair:
    url = f"http://{model}:9090"
    return replace(
        Pair(
            "http://127.0.0.1:1",
            "http://127.0.0.1:1",
            wanted=url,
            studio_internal=f"http://{studio}:9090",
            own_records=OwnRecords(Path("absent")),
            studio_container=studio,
            backend_container=model,
        ),
        **changes,
    )


def test_two_running_containers_that_reach_each_other(run: Start, engine: docker.DockerClient) -> None:
    both = pair(run("ls", SERVE), run("backend", SERVE))
    address = engine.containers.get(both.backend_container).attrs["NetworkSettings"]["Networks"]
    both = replace(both, backend=f"http://{next(iter(address.values()))['IPAddress']}:9090")
    assert "Docker" in containers.check_engine(both, NOTHING).evidence
    assert "running" in containers.check_containers(both, NOTHING).evidence
    wait_for(lambda: "the backend reaches" in network.check_network(both, NOTHING).evidence)


@produces("engine-down")
def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    return containers.check_engine(pair("a", "b"), NOTHING)


@produces("engine-down")
def test_no_docker_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Result:
    monkeypatch.setenv("PATH", str(tmp_path))
    return containers.check_engine(pair("a", "b"), NOTHING)


@produces("engine-forbidden")
def test_an_engine_that_refuses_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    docker_command = shutil.which("docker")
    as_nobody = tmp_path / "docker"
    as_nobody.write_text(f'#!/bin/sh\nexec setpriv --reuid=65534 --clear-groups {docker_command} "$@"\n')
    as_nobody.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return containers.check_engine(pair("a", "b"), NOTHING)


@produces("container-missing")
def test_a_container_that_is_not_there(run: Start) -> Result:
    result = containers.check_containers(pair(run("ls", SERVE), f"{PREFIX}-absent"), NOTHING)
    assert result.facts["container"] == f"{PREFIX}-absent"
    return result


@produces("container-stopped")
def test_a_container_that_ended(run: Start, engine: docker.DockerClient) -> Result:
    name = run("backend", ["python", "-c", "raise SystemExit('no checkpoint')"])
    engine.containers.get(name).wait(timeout=30)
    result = containers.check_containers(pair(run("ls", SERVE), name), NOTHING)
    assert "no checkpoint" in result.evidence
    assert result.facts["code"] == 1
    return result


@produces("cuda-missing")
def test_a_container_that_ended_for_a_known_reason(run: Start, engine: docker.DockerClient) -> Result:
    said = "sam2-backend does not start: DEVICE=cuda, but PyTorch 2.13.0+cpu (built without CUDA) finds no GPU"
    name = run("backend", ["python", "-c", f"raise SystemExit({said!r})"])
    engine.containers.get(name).wait(timeout=30)
    result = containers.check_containers(pair(run("ls", SERVE), name), NOTHING)
    assert said in result.evidence
    return result


UNHEALTHY = {"test": ["CMD", "python", "-c", "raise SystemExit('model not ready')"], "interval": 10**8, "retries": 1}


@produces("container-unhealthy")
def test_a_container_that_is_unhealthy(run: Start, engine: docker.DockerClient) -> Result:
    name = run("backend", SERVE, healthcheck=UNHEALTHY)
    wait_for(lambda: engine.containers.get(name).attrs["State"]["Health"]["Status"] == "unhealthy")
    result = containers.check_containers(pair(run("ls", SERVE), name), NOTHING)
    assert result.status is Status.WARN
    assert "model not ready" in result.evidence
    return result


@produces("container-missing")
def test_a_missing_container_matters_more_than_an_unhealthy_one(run: Start, engine: docker.DockerClient) -> Result:
    name = run("ls", SERVE, healthcheck=UNHEALTHY)
    wait_for(lambda: engine.containers.get(name).attrs["State"]["Health"]["Status"] == "unhealthy")
    return containers.check_containers(pair(name, f"{PREFIX}-absent"), NOTHING)


@produces("backend-refused")
def test_localhost_seen_from_label_studios_container_is_that_container(run: Start) -> Result:
    result = network.connect("Label Studio", run("ls", ["sleep", "60"]), "http://localhost:9090")
    assert result.facts["who"] == "Label Studio"
    return result


@produces("name-unknown")
def test_a_name_that_only_the_host_resolves(run: Start) -> Result:
    return network.connect("Label Studio", run("ls", SERVE), "http://only-here.example:9090")


def test_a_container_that_cannot_be_looked_from_is_not_blamed() -> None:
    result = network.connect("the backend", f"{PREFIX}-absent", "http://label-studio:8080")
    assert result.status is Status.OK
    assert "could not be tried" in result.evidence
    assert "No such container" in result.evidence


def wait_for(condition: Callable[[], object], tries: int = 60) -> None:
    for _ in range(tries):
        try:
            if condition():
                return
        except (DockerException, KeyError):
            pass
        time.sleep(0.25)
    raise AssertionError("timed out")
