"""Bring a new API token, or password, to the backend: it has copies of its own, and reads one again when it changes.

The role sam2_backend makes those copies on each backend's host; here they are renewed on this one, where that is all.
"""

from __future__ import annotations

import stat
from pathlib import Path

from samstudio import files
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore

#: the folder that role sam2_backend mounts into the container
FOLDER = "sam2-backend-secrets"
CALLED = {API_TOKEN: "the token", BACKEND_PASSWORD: "the password"}


def require_possible(deployment: Deployment) -> None:
    """Refuse before a token is revoked that could not be replaced everywhere.

    Raises:
        SamstudioError: several backends use it.
    """
    if deployment.balancer.socket:
        raise SamstudioError(
            "This token cannot be rotated from here: several backends use it.",
            link="token",
            found="a fleet (balancer: in deployment.yml)",
            expected="a deploy, which brings a new token to every backend",
            command="revoke it in Label Studio (Account & Settings, Personal Access Token), then: ./samstudio deploy",
        )


def deliver(deployment: Deployment, *, check: bool = False) -> list[str]:
    """Give the backends of this host the stored secrets, where they are others than they had.

    Returns:
        what was (or, with `check`, would be) done, in words.
    """
    store = SecretStore(deployment.secrets_dir)
    folder = deployment.config_dir / FOLDER
    stale = [name for name in CALLED if (folder / name).exists() and not same(folder / name, store.content(name))]
    if not stale:
        return []
    if not check:
        for each in stale:
            renew(folder / each, store.content(each))
    return [f"gave the backend {' and '.join(CALLED[each] for each in stale)}"]


def same(copy: Path, value: str) -> bool:
    """Whether a container's own copy of a secret is what it should be."""
    return copy.read_text().strip() == value


def renew(copy: Path, value: str) -> None:
    """Put a secret into a container's own copy of it, for the same user as before."""
    had = copy.stat()
    files.write(copy, value + "\n", mode=stat.S_IMODE(had.st_mode), owner=(had.st_uid, had.st_gid))
