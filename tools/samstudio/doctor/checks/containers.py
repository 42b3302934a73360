"""The container engine and the two containers, asked by the `docker` command, whose words users know."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from samstudio.doctor.cause import recognise
from samstudio.doctor.causes.table import SAID_BY_FAILED_BACKEND
from samstudio.doctor.causes.way import (
    CONTAINER_MISSING,
    CONTAINER_STOPPED,
    CONTAINER_UNHEALTHY,
    ENGINE_DOWN,
    ENGINE_FORBIDDEN,
)
from samstudio.doctor.finding import Blame, Skip, Status
from samstudio.doctor.patient import Examination

SECONDS = 15


def engine(x: Examination) -> str:
    if x.patient.by_hand:
        raise Skip("the two run without containers")
    ran = _docker("version", "--format", "{{.Server.Version}}")
    if ran.returncode:
        cause = ENGINE_FORBIDDEN if ENGINE_FORBIDDEN.recognises(ran.stderr) else ENGINE_DOWN
        raise Blame(cause, ran.stderr.strip())
    return f"Docker {ran.stdout.strip()}"


def containers(x: Examination) -> str:
    if x.patient.by_hand:
        raise Skip("the two run without containers")
    return ", ".join(_state(name) for name in (x.patient.studio_container, x.patient.backend_container) if name)


def _state(name: str) -> str:
    ran = _docker("inspect", "--type", "container", "--format", "{{json .State}}", name)
    if ran.returncode:
        raise Blame(CONTAINER_MISSING, ran.stderr.strip(), container=name)
    state: dict[str, Any] = json.loads(ran.stdout)
    if state["Status"] != "running":
        logged = _docker("logs", "--tail", "20", name)
        words = (logged.stdout + logged.stderr).strip() or "nothing logged"
        cause = recognise(words, SAID_BY_FAILED_BACKEND) or CONTAINER_STOPPED
        last = "\n".join(words.splitlines()[-3:])
        raise Blame(cause, last, container=name, state=state["Status"], code=state["ExitCode"])
    health = state.get("Health") or {}
    if health.get("Status") == "unhealthy":
        said = (health.get("Log") or [{}])[-1].get("Output", "").strip()
        # whatever ails it, a later link says so better
        raise Blame(CONTAINER_UNHEALTHY, said or "(unhealthy)", container=name, status=Status.WARN)
    return f"{name} {health.get('Status') or 'running'}"


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command's outcome; one that cannot run, or hangs, is an engine that does not answer."""
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Blame(ENGINE_DOWN, error) from error
