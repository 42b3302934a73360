"""`samstudio prewarm`: have a project's images embedded, so that the first click on each is as fast as the second.

The backend does the work and remembers it; interrupting this and starting again loses nothing and repeats nothing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from samstudio.backend_client import Backend
from samstudio.labelstudio import LabelStudio, projects

#: A batch is one request; Label Studio's tasks are small.
BATCH = 200
POLL_SECONDS = 1.0

#: done, total, failed, images per second
Progress = Callable[[int, int, int, float], None]


def prewarm(
    studio: LabelStudio, backend: Backend, project: int, *, progress: Progress, poll_seconds: float = POLL_SECONDS,
    fleet: Sequence[Backend] = (),
) -> dict[str, Any]:  # fmt: skip
    """Hand every task of a project to the backend, then wait until nothing of the project waits any more.

    Args:
        fleet: the backends behind `backend` when that is a balancer, which looks at one task a request.

    Returns:
        `changed`, `accepted`, `already` (embedded or waiting before), `failed`, `errors`.

    Raises:
        SamstudioError: Label Studio or the backend refused or went away.
    """
    label_config = projects.by_id(studio, project).label_config or "<View/>"
    accepted = already = 0
    for batch in _batches(projects.tasks(studio, project), 1 if fleet else BATCH):
        answer = backend.prewarm(project, label_config, batch)
        accepted += answer["accepted"]
        already += answer["already"]
    while True:
        state = _sum([each.prewarm_progress(project) for each in fleet or (backend,)])
        progress(state["done"], state["total"], state["failed"], state["rate"])
        if state["done"] + state["failed"] >= state["total"]:
            return {
                "changed": accepted > 0,
                "accepted": accepted,
                "already": already,
                "failed": state["failed"],
                "errors": state["errors"],
            }
        time.sleep(poll_seconds)


def _sum(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {name: sum(state[name] for state in states) for name in ("done", "total", "failed", "rate")}
    return {**total, "errors": [error for state in states for error in state["errors"]]}


def _batches(tasks: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(tasks, size)):
        yield batch
