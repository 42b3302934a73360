"""Bring a new API token to the backend: it reads a copy of its own, and only when it starts.

The role sam2_backend makes that copy on each backend's host; here it is renewed on this one, where that is all.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, NotFound

from samstudio import backend_client, files
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore

#: the folder that role sam2_backend mounts into the container
FOLDER = "sam2-backend-secrets"
DOCKER_SECONDS = 60
READY_SECONDS = 300
POLL_SECONDS = 1.0


def copy_of(deployment: Deployment) -> Path:
    return deployment.config_dir / FOLDER / API_TOKEN


def require_possible(deployment: Deployment) -> None:
    """Refuse before a token is revoked that could not be replaced everywhere.

    Raises:
        SamstudioError: several backends use it, or the engine that runs ours does not answer.
    """
    if deployment.balancer.socket:
        raise SamstudioError(
            "This token cannot be rotated from here: several backends use it.",
            link="token",
            found="a fleet (balancer: in deployment.yml)",
            expected="a deploy, which brings a new token to every backend",
            command="revoke it in Label Studio (Account & Settings, Personal Access Token), then: ./samstudio deploy",
        )
    if copy_of(deployment).exists():
        _container(deployment)


def deliver(deployment: Deployment, *, check: bool = False, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Give the backend of this host the stored token, and restart it if that is another one than it had.

    Returns:
        what was (or, with `check`, would be) done, in words.

    Raises:
        SamstudioError: the engine refused, or the backend is not ready after the restart.
    """
    copy = copy_of(deployment)
    if deployment.balancer.socket or not copy.exists():
        return []
    token = SecretStore(deployment.secrets_dir).read(API_TOKEN)
    if copy.read_text().strip() == token:
        return []
    name = deployment.backend.container
    if not check:
        had = copy.stat()
        files.write(copy, token + "\n", mode=stat.S_IMODE(had.st_mode), owner=(had.st_uid, had.st_gid))
        _restart(deployment, say)
    return [f"gave the backend the token and restarted {name}"]


def _container(deployment: Deployment) -> Any:
    name = deployment.backend.container
    try:
        return docker.from_env(timeout=DOCKER_SECONDS).containers.get(name)
    except NotFound as error:
        raise SamstudioError(
            f"There is no container {name} to give the token to.",
            link="containers",
            found="no such container",
            expected="the backend that was deployed here",
            command="./samstudio deploy --tags sam2_backend",
        ) from error
    except DockerException as error:
        raise _engine_refused(error) from error


def _restart(deployment: Deployment, say: Callable[[str], None]) -> None:
    container = _container(deployment)
    if container.status != "running":
        return
    say(f"restarting {deployment.backend.container}, which reads its token when it starts")
    try:
        container.restart(timeout=30)
    except DockerException as error:
        raise _engine_refused(error) from error
    password = SecretStore(deployment.secrets_dir).read(BACKEND_PASSWORD)
    settings = deployment.backend
    end = time.monotonic() + READY_SECONDS
    with backend_client.connect(settings.url, settings.basic_auth_user, password) as backend:
        while True:
            try:
                if backend.health().get("status") == "UP":
                    return
            except backend_client.BackendError:
                if time.monotonic() > end:
                    raise
            if time.monotonic() > end:
                raise SamstudioError(
                    "The backend is not ready after its restart.",
                    link="backend",
                    found=f"waited {READY_SECONDS} s",
                    expected="/health to say UP",
                    command=f"docker logs {settings.container}",
                )
            time.sleep(POLL_SECONDS)


def _engine_refused(error: Exception) -> SamstudioError:
    return SamstudioError(
        "The container engine refused.",
        link="engine",
        found=str(error),
        expected="to run as root, with Docker running",
        command="sudo docker version",
    )
