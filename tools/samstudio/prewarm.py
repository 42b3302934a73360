"""`samstudio prewarm`: have a project's images embedded, so that the first click on each is as fast as the second.

The backend does the work and remembers it; interrupting this and starting again loses nothing and repeats nothing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from samstudio.backend_client import Backend, BackendError
from samstudio.labelstudio import LabelStudio, projects

#: A batch is one request; Label Studio's tasks are small.
BATCH = 200
POLL_SECONDS = 1.0

#: done, total, failed, images per second
Progress = Callable[[int, int, int, float], None]


def prewarm(
    studio: LabelStudio,
    backend: Backend,
    project: int,
    *,
    progress: Progress,
    poll_seconds: float = POLL_SECONDS,
    fleet: Sequence[Backend] = (),
) -> dict[str, Any]:
    """Hand every task of a project to the backend, then wait until nothing of the project waits any more.

    Args:
        fleet: the backends behind `backend` when that is a balancer, which looks at one task a request.

    Returns:
        `changed`, `tasks`, `accepted` (images handed over now), `already` (embedded or waiting before), `embedded` and
        `failed` (images that the backend finished since, those that waited before among them), `lost` (accepted and
        neither embedded nor failed), `errors`.

    Raises:
        NothingToLookAt: the project has no task.
        SamstudioError: Label Studio or the backend refused or went away.
    """
    label_config = projects.by_id(studio, project).label_config or "<View/>"
    backends = fleet or (backend,)
    before = [_finished(each, each.prewarm_progress(project)) for each in backends]
    tasks = accepted = already = 0
    for batch in _batches(projects.tasks(studio, project), 1 if fleet else BATCH):
        tasks += len(batch)
        answer = backend.prewarm(project, label_config, batch)
        accepted += answer["accepted"]
        already += answer["already"]
    if not tasks:
        raise projects.without_tasks(project, "image to embed", "images")
    while True:
        states = [each.prewarm_progress(project) for each in backends]
        state = _sum(states)
        progress(state["done"], state["total"], state["failed"], state["rate"])
        if state["done"] + state["failed"] >= state["total"]:
            break
        time.sleep(poll_seconds)
    after = [_finished(each, state) for each, state in zip(backends, states, strict=True)]
    embedded, failed = (sum(new[n] - old[n] for new, old in zip(after, before, strict=True)) for n in (0, 1))
    return {
        "changed": accepted > 0,
        "tasks": tasks,
        "accepted": accepted,
        "already": already,
        "embedded": max(embedded, 0),
        "failed": max(failed, 0),
        "lost": max(accepted - max(embedded, 0) - max(failed, 0), 0),
        "errors": state["errors"],
    }


def problem(result: dict[str, Any]) -> str:
    """Why a prewarming is no success, as a sentence; empty when it is one."""
    if result["failed"]:
        return f"{result['failed']} images could not be embedded."
    if result["lost"]:
        return f"{result['lost']} images were accepted and are not embedded: the backend was restarted; run this again."
    if not result["accepted"] + result["already"]:
        return "The backend found no image in any task: see its last errors in samstudio status."
    return ""


def _finished(backend: Backend, state: dict[str, Any]) -> tuple[int, int]:
    """Images of a project that a backend embedded, and could not embed, since it started."""
    try:
        return int(state["since_start"]["done"]), int(state["since_start"]["failed"])
    except KeyError as error:
        raise BackendError(
            "The backend is older than these tools.",
            link="backend",
            found=f"{backend.url}/prewarm tells no since_start",
            expected="a backend of the same version",
            command="./samstudio deploy",
        ) from error


def _sum(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {name: sum(state[name] for state in states) for name in ("done", "total", "failed", "rate")}
    return {**total, "errors": [error for state in states for error in state["errors"]]}


def _batches(tasks: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(tasks, size)):
        yield batch
