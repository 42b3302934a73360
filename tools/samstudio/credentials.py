"""The copies of secrets that role monitoring gave Prometheus's user: who watches gets a new secret, too."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from samstudio import token_delivery
from samstudio.deployment import Deployment
from samstudio.secret_store import BACKEND_PASSWORD, POSTGRES_PASSWORD

#: the role's folder of copies, beside deployment.yml
FOLDER = "monitoring/secrets"
SECONDS = 120


@dataclass(frozen=True)
class Copy:
    #: the file in `FOLDER`
    name: str
    #: the service that reads it when it starts, and only then; "" for Prometheus, which reads it for each request
    service: str = ""


#: by secret
COPIES: Mapping[str, Copy] = {
    BACKEND_PASSWORD: Copy("backend_password"),
    POSTGRES_PASSWORD: Copy("postgres_password", "samstudio-postgres-exporter"),
}


def renew(deployment: Deployment, name: str, value: str, say: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Write the value into the copy of a secret, where there is one, and restart the service that read the old one.

    The service is restarted even if the copy has the value: an earlier call may have been cut off between the two.

    Returns:
        what was done; and what could not be, in sentences, which takes nothing back.
    """
    held = COPIES[name]
    copy = deployment.config_dir / FOLDER / held.name
    if not copy.exists():
        return [], []
    token_delivery.renew(copy, value)
    if not held.service or not _systemctl("is-active", "--quiet", held.service):
        return [f"gave Prometheus the new {name}"], []
    say(f"restarting {held.service}, which has the old {name}")
    if _systemctl("restart", held.service):
        return [f"gave {held.service} the new {name} and restarted it"], []
    return [], [f"{held.service} still has the old {name}: sudo systemctl restart {held.service}"]


def _systemctl(*words: str) -> bool:
    """Whether it did, or is so; without systemd nothing is."""
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, timeout=SECONDS, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
