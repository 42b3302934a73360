"""The images of Label Studio's tasks, as sources that can be fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sam2_backend.images.sources import Source
from sam2_backend.label_studio import labeling_config
from sam2_backend.label_studio.projects import Projects
from sam2_backend.problems import Problem, ProblemLog


def task_data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    data = task.get("data")
    return data if isinstance(data, Mapping) else {}


def task_id(task: Mapping[str, Any]) -> int | str | None:
    """The task's id; None for what Label Studio never sends as one."""
    found = task.get("id")
    return found if isinstance(found, int | str) and not isinstance(found, bool) else None


def sources_of(
    tasks: Iterable[Mapping[str, Any]], project: str, label_config: str, projects: Projects, problems: ProblemLog
) -> Iterator[Source]:
    """Every image of every task, once; what cannot be located is reported and left out."""
    found: set[str] = set()
    try:
        config = labeling_config.read(label_config or projects.get(project).label_config)
    except Problem as problem:
        problems.report(problem)
        return
    for task in tasks:
        data = task_data(task)
        for tag in config.images.values():
            value = data.get(tag.key)
            for index in range(len(value) if isinstance(value, list) else 1):
                try:
                    source = projects.source(tag.address(data, index), task_id(task), project)
                except Problem as problem:
                    problems.report(problem)
                    continue
                if source.identity not in found:
                    found.add(source.identity)
                    yield source
