"""Causes that only containers have, with real ones: the host's userland on a network of its own, no image pulled."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException
from samstudio.doctor.checks import backend, containers
from samstudio.doctor.finding import Blame
from samstudio.doctor.patient import Examination, Patient

pytestmark = pytest.mark.integration

CONTAINER_CAUSES = {
    "engine-down", "engine-forbidden", "container-missing", "container-stopped", "container-unhealthy"
}  # fmt: skip
Start = Callable[..., str]
Check = Callable[[Examination], object]
USERLAND = ("/usr", "/lib", "/lib64", "/bin")
PREFIX = "connect-doctor"
#: Listens on a port, as python is called in Label Studio's image too.
SERVE = ["python", "-m", "http.server", "9090"]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker engine; these tests fail without one rather than pass unseen."""
    client = docker.from_env(timeout=30)
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient) -> Iterator[str]:
    """An image with `python` and mount points; the rest is the host's, read-only."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in (*USERLAND, "/py", "/tmp"):
            member = tarfile.TarInfo(folder.strip("/"))
            member.type = tarfile.DIRTYPE
            member.mode = 0o755
            tar.addfile(member)
        link = tarfile.TarInfo("py/python")
        link.type = tarfile.SYMTYPE
        link.linkname = "/usr/bin/python3"
        tar.addfile(link)
    name = f"{PREFIX}:{uuid.uuid4().hex[:8]}"
    subprocess.run(
        ["docker", "import", "-", name], input=content.getvalue(), check=True, capture_output=True, timeout=60
    )
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture
def run(engine: docker.DockerClient, image: str) -> Iterator[Start]:
    made = []
    network = engine.networks.create(f"{PREFIX}-{uuid.uuid4().hex[:8]}")

    def start(role: str, command: list[str], **options: Any) -> str:
        name = f"{PREFIX}-{role}-{uuid.uuid4().hex[:8]}"
        mounts = [f"{folder}:{folder}:ro" for folder in USERLAND]
        container = engine.containers.create(
            image,
            command,
            name=name,
            network=network.name,
            volumes=mounts,
            environment={"PATH": "/py:/usr/bin:/bin"},
            **options,
        )
        made.append(container)
        container.start()
        return name

    yield start
    for container in made:
        container.remove(force=True)
    network.remove()


def examination(studio: str, model: str, **changes: Any) -> Examination:
    url = f"http://{model}:9090"
    patient = Patient(
        "http://127.0.0.1:1", "http://127.0.0.1:1", wanted=url, studio_internal=f"http://{studio}:9090",
        studio_container=studio, backend_container=model,
    )  # fmt: skip
    return Examination(replace(patient, **changes))


def blamed(check: Check, x: Examination) -> Blame:
    with pytest.raises(Blame) as told:
        check(x)
    return told.value


def test_two_running_containers_that_reach_each_other(run: Start, engine: docker.DockerClient) -> None:
    x = examination(run("ls", SERVE), run("backend", SERVE))
    address = engine.containers.get(x.patient.backend_container).attrs["NetworkSettings"]["Networks"]
    x.patient = replace(x.patient, backend=f"http://{next(iter(address.values()))['IPAddress']}:9090")
    assert "Docker" in containers.engine(x)
    assert "running" in containers.containers(x)
    wait_for(lambda: "the backend reaches" in backend.network(x))


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert blamed(containers.engine, examination("a", "b")).cause.id == "engine-down"


def test_an_engine_that_refuses_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker_command = shutil.which("docker")
    as_nobody = tmp_path / "docker"
    as_nobody.write_text(f'#!/bin/sh\nexec setpriv --reuid=65534 --clear-groups {docker_command} "$@"\n')
    as_nobody.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert blamed(containers.engine, examination("a", "b")).cause.id == "engine-forbidden"


def test_a_container_that_is_not_there(run: Start) -> None:
    told = blamed(containers.containers, examination(run("ls", SERVE), f"{PREFIX}-absent"))
    assert told.cause.id == "container-missing"
    assert told.facts["container"] == f"{PREFIX}-absent"


def test_a_container_that_ended(run: Start, engine: docker.DockerClient) -> None:
    name = run("backend", ["python", "-c", "raise SystemExit('no checkpoint')"])
    engine.containers.get(name).wait(timeout=30)
    told = blamed(containers.containers, examination(run("ls", SERVE), name))
    assert told.cause.id == "container-stopped"
    assert "no checkpoint" in told.evidence
    assert told.facts["code"] == 1


def test_a_container_that_ended_for_a_known_reason(run: Start, engine: docker.DockerClient) -> None:
    said = "sam2-backend does not start: DEVICE=cuda, but PyTorch 2.13.0+cpu (built without CUDA) finds no GPU"
    name = run("backend", ["python", "-c", f"raise SystemExit({said!r})"])
    engine.containers.get(name).wait(timeout=30)
    told = blamed(containers.containers, examination(run("ls", SERVE), name))
    assert told.cause.id == "cuda-missing"
    assert said in told.evidence


def test_a_container_that_is_unhealthy(run: Start, engine: docker.DockerClient) -> None:
    check = {"test": ["CMD", "python", "-c", "raise SystemExit('model not ready')"], "interval": 10**8, "retries": 1}
    name = run("backend", SERVE, healthcheck=check)
    wait_for(lambda: engine.containers.get(name).attrs["State"]["Health"]["Status"] == "unhealthy")
    told = blamed(containers.containers, examination(run("ls", SERVE), name))
    assert told.cause.id == "container-unhealthy"
    assert "model not ready" in told.evidence


def test_localhost_seen_from_label_studios_container_is_that_container(run: Start) -> None:
    x = examination(run("ls", ["sleep", "60"]), run("backend", SERVE), wanted="http://localhost:9090")
    x.patient = replace(x.patient, backend=x.patient.wanted)
    told = blamed(lambda _: backend._connect("Label Studio", x.patient.studio_container, x.patient.wanted), x)
    assert told.cause.id == "backend-refused"
    assert told.facts["who"] == "Label Studio"


def test_a_name_that_only_the_host_resolves(run: Start) -> None:
    x = examination(run("ls", SERVE), run("backend", SERVE), wanted="http://only-here.example:9090")
    told = blamed(lambda _: backend._connect("Label Studio", x.patient.studio_container, x.patient.wanted), x)
    assert told.cause.id == "name-unknown"


def test_a_container_that_cannot_be_looked_from_is_not_blamed(run: Start) -> None:
    x = examination(run("ls", ["sleep", "60"]), f"{PREFIX}-absent")
    told = backend._connect("the backend", x.patient.backend_container, x.patient.studio_internal)
    assert "could not be tried" in told
    assert "No such container" in told


def wait_for(condition: Callable[[], object], tries: int = 60) -> None:
    for _ in range(tries):
        try:
            if condition():
                return
        except (Blame, DockerException, KeyError):
            pass
        time.sleep(0.25)
    raise AssertionError("timed out")
