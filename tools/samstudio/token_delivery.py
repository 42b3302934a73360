"""Bring a new API token, or password, to the backend: it reads copies of its own, and only when it starts.

The role sam2_backend makes those copies on each backend's host; here they are renewed on this one, where that is all.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samstudio import backend_client, containers, files
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore

#: the folder that role sam2_backend mounts into the container
FOLDER = "sam2-backend-secrets"
CALLED = {API_TOKEN: "the token", BACKEND_PASSWORD: "the password"}
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
    """Give the backend of this host the stored secrets, and restart it if they are others than it had.

    Returns:
        what was (or, with `check`, would be) done, in words.

    Raises:
        SamstudioError: the engine refused, or the backend is not ready after the restart.
    """
    if deployment.balancer.socket:
        return []
    store = SecretStore(deployment.secrets_dir)
    folder = deployment.config_dir / FOLDER
    stale = [name for name in CALLED if (folder / name).exists() and not same(folder / name, store.read(name))]
    if not stale:
        return []
    name = deployment.backend.container
    if not check:
        for each in stale:
            renew(folder / each, store.read(each))
        _restart(deployment, say)
    return [f"gave the backend {' and '.join(CALLED[each] for each in stale)} and restarted {name}"]


def same(copy: Path, value: str) -> bool:
    """Whether a container's own copy of a secret is what it should be."""
    return copy.read_text().strip() == value


def renew(copy: Path, value: str) -> None:
    """Put a secret into a container's own copy of it, for the same user as before."""
    had = copy.stat()
    files.write(copy, value + "\n", mode=stat.S_IMODE(had.st_mode), owner=(had.st_uid, had.st_gid))


def _container(deployment: Deployment) -> Any:
    return containers.named(deployment.backend.container, tags="sam2_backend")


def _restart(deployment: Deployment, say: Callable[[str], None]) -> None:
    container = _container(deployment)
    if container.status != "running":
        return
    say(f"restarting {deployment.backend.container}, which reads its secrets when it starts")
    with containers.engine_errors():
        container.restart(timeout=30)
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
