"""The container engine and the two containers."""

from __future__ import annotations

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from samstudio.doctor.causes import (
    CONTAINER_MISSING,
    CONTAINER_STOPPED,
    CONTAINER_UNHEALTHY,
    ENGINE_DOWN,
    ENGINE_FORBIDDEN,
)
from samstudio.doctor.finding import Blame, Skip, Status
from samstudio.doctor.patient import Examination

SECONDS = 10


def engine(x: Examination) -> str:
    if x.patient.by_hand:
        raise Skip("the two run without containers")
    try:
        client = docker.from_env(timeout=SECONDS)
        version = client.version()["Version"]
        client.close()
    except (DockerException, requests.RequestException) as error:
        cause = ENGINE_FORBIDDEN if ENGINE_FORBIDDEN.recognises(str(error)) else ENGINE_DOWN
        raise Blame(cause, error) from error
    return f"Docker {version}"


def containers(x: Examination) -> str:
    if x.patient.by_hand:
        raise Skip("the two run without containers")
    client = docker.from_env(timeout=SECONDS)
    try:
        return ", ".join(
            _state(client, name) for name in (x.patient.studio_container, x.patient.backend_container) if name
        )
    finally:
        client.close()


def _state(client: docker.DockerClient, name: str) -> str:
    try:
        container = client.containers.get(name)
    except NotFound as error:
        raise Blame(CONTAINER_MISSING, error.explanation, container=name) from error
    except APIError as error:
        raise Blame(ENGINE_DOWN, error) from error
    state = container.attrs["State"]
    if state["Status"] != "running":
        last = container.logs(tail=3).decode(errors="replace").strip() or "nothing logged"
        raise Blame(CONTAINER_STOPPED, last, container=name, state=state["Status"], code=state["ExitCode"])
    health = state.get("Health", {})
    if health.get("Status") == "unhealthy":
        said = (health.get("Log") or [{}])[-1].get("Output", "").strip()
        # whatever ails it, a later link says so better
        raise Blame(CONTAINER_UNHEALTHY, said or "(unhealthy)", container=name, status=Status.WARN)
    return f"{name} {health.get('Status') or 'running'}"
