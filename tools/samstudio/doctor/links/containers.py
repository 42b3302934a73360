"""The container engine and the two containers, asked by the `docker` command, whose words people know."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from samstudio.causes import Cause, recognise
from samstudio.doctor.link import Known, Link, Result, Status, broken, ok, skipped, warning
from samstudio.doctor.links.backend import SAID_BY_FAILED_BACKEND
from samstudio.doctor.pair import Pair

SECONDS = 15
BY_HAND = "the two run without containers"

ENGINE_DOWN = Cause(
    "engine-down",
    ("Cannot connect to the Docker daemon", "Error while fetching server API version…No such file or directory"),
    "The container engine does not answer.",
    "systemctl start docker; on a host without systemd: ./samstudio deploy",
)
ENGINE_FORBIDDEN = Cause(
    "engine-forbidden",
    ("permission denied while trying to connect to the Docker daemon socket", "Permission denied"),
    "This user may not talk to the container engine.",
    "sudo samstudio doctor",
)
CONTAINER_MISSING = Cause(
    "container-missing", ("No such container",), "There is no container {container}.", "./samstudio deploy"
)
CONTAINER_STOPPED = Cause(
    "container-stopped",
    ("is not running", "Restarting ("),
    "The container {container} is {state} (exit code {code}).",
    "docker logs --tail 50 {container}; docker start {container}",
)
CONTAINER_UNHEALTHY = Cause(
    "container-unhealthy",
    ("(unhealthy)",),
    "The container {container} runs, but its own health check fails.",
    "docker logs --tail 50 {container}",
)


def check_engine(pair: Pair, _: Known) -> Result:
    """The engine answers this user."""
    if pair.by_hand:
        return skipped(BY_HAND)
    ran = _docker("version", "--format", "{{.Server.Version}}")
    if ran.returncode:
        forbidden = ENGINE_FORBIDDEN.recognises(ran.stderr)
        return broken(ENGINE_FORBIDDEN if forbidden else ENGINE_DOWN, ran.stderr.strip())
    return ok(f"Docker {ran.stdout.strip()}")


def check_containers(pair: Pair, _: Known) -> Result:
    """Both containers run, and their own health checks pass."""
    if pair.by_hand:
        return skipped(BY_HAND)
    states = [_state(name) for name in (pair.studio_container, pair.backend_container) if name]
    wrong = sorted((state for state in states if state.cause), key=lambda state: state.status is Status.WARN)
    return next(iter(wrong), ok(", ".join(state.evidence for state in states)))


def _state(name: str) -> Result:
    ran = _docker("inspect", "--type", "container", "--format", "{{json .State}}", name)
    if ran.returncode:
        return broken(CONTAINER_MISSING, ran.stderr.strip(), container=name)
    state: dict[str, Any] = json.loads(ran.stdout)
    if state["Status"] != "running":
        logged = _docker("logs", "--tail", "20", name)
        words = (logged.stdout + logged.stderr).strip() or "nothing logged"
        cause = recognise(words, SAID_BY_FAILED_BACKEND) or CONTAINER_STOPPED
        last = "\n".join(words.splitlines()[-3:])
        return broken(cause, last, container=name, state=state["Status"], code=state["ExitCode"])
    health = state.get("Health") or {}
    if health.get("Status") == "unhealthy":
        said = (health.get("Log") or [{}])[-1].get("Output", "").strip()
        # whatever ails it, a later link says so better
        return warning(CONTAINER_UNHEALTHY, said or "(unhealthy)", container=name)
    return ok(f"{name} {health.get('Status') or 'running'}")


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command's outcome; one that cannot run, or hangs, has failed with that as its words."""
    argv = ["docker", *arguments]
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


ENGINE = Link("engine", check_engine, causes=(ENGINE_DOWN, ENGINE_FORBIDDEN))
CONTAINERS = Link(
    "containers",
    check_containers,
    needs=("engine",),
    causes=(CONTAINER_MISSING, CONTAINER_STOPPED, CONTAINER_UNHEALTHY),
)
