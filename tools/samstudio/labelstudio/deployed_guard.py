"""Read the SSRF guard of a Label Studio that runs, in a container or beside us."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samstudio import ssrf
from samstudio.errors import SamstudioError

SECONDS = 30


def read(*, container: str = "", python: Path | None = None) -> ssrf.DeployedGuard:
    """Ask the Python that Label Studio runs in for its banned list and the settings in that process's environment.

    Raises:
        SamstudioError: the container does not run, or there is no Label Studio in that Python.
    """
    if python is not None:
        argv, where = [str(python), "-c", ssrf.READER], str(python)
    else:
        argv, where = ["docker", "exec", container, "python", "-c", ssrf.READER], f"container {container}"
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=True)
        return ssrf.DeployedGuard.parse(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise SamstudioError(
            f"The banned list of Label Studio in {where} cannot be read.",
            link="label-studio",
            found=said.strip().splitlines()[-1] if said.strip() else repr(error),
            expected="Label Studio running there",
            command=f"docker ps --filter name={container}" if container else f"{where} -m pip show label-studio",
        ) from error


def report(deployed: ssrf.DeployedGuard, addresses: Sequence[str]) -> dict[str, Any]:
    """What a deployed guard refuses of some addresses, how its list differs, and what its settings should be.

    `narrow` says whether it is open to exactly those addresses.

    Raises:
        SamstudioError: an address is none.
    """
    default = ssrf.KNOWN if deployed.default is None else deployed.default
    difference = ssrf.compare(ssrf.KNOWN, default)
    try:
        wanted = ssrf.narrow_environment(default, addresses)
        blocked = [{"address": text, "blocked_by": ssrf.blocking(deployed.effective, text)} for text in addresses]
    except ValueError as error:
        raise SamstudioError("No usable address.", found=str(error), expected="an IPv4 or IPv6 address") from error
    return {
        "changed": False,
        "version": deployed.version,
        "default": list(default),
        "difference": difference.sentence(deployed.version) if difference else "",
        "environment": deployed.environment,
        "guards_ml": deployed.guards_ml,
        "guards_webhooks": deployed.guards_webhooks,
        "addresses": blocked,
        "wanted": wanted,
        "narrow": not ssrf.compare(wanted["USER_ADDITIONAL_BANNED_SUBNETS"].split(","), deployed.effective)
        and deployed.guards_ml
        and deployed.guards_webhooks,
    }
