"""Services of this host that systemd gave a secret when it started them (`LoadCredential`): a restart gives another."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

from samstudio.secret_store import BACKEND_PASSWORD, POSTGRES_PASSWORD

#: by secret: the service of role monitoring that has it
HOLDERS: Mapping[str, str] = {
    BACKEND_PASSWORD: "samstudio-prometheus",
    POSTGRES_PASSWORD: "samstudio-postgres-exporter",
}
#: Prometheus may take a minute to stop.
SECONDS = 120


def renew(name: str, say: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Restart the service that holds a secret, if one runs; one that does not is given it when it starts.

    Returns:
        what was done; and what could not be, in sentences, which takes nothing back.
    """
    service = HOLDERS.get(name)
    if service is None or not _systemctl("is-active", "--quiet", service):
        return [], []
    say(f"restarting {service}, which has the old {name}")
    if _systemctl("restart", service):
        return [f"restarted {service}, which has the new {name} now"], []
    return [], [f"{service} still has the old {name}: sudo systemctl restart {service}"]


def _systemctl(*words: str) -> bool:
    """Whether it did, or is so; a host without systemd has no such service."""
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, timeout=SECONDS, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
