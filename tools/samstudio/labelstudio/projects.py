"""Projects: created as the quick start's, adopted when they are somebody's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samstudio import labeling_configs
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.labelstudio.client import LabelStudio, api_errors

if TYPE_CHECKING:
    from label_studio_sdk.types.project import Project
else:
    Project = Any

#: Label Studio's key for data that came without one
UNNAMED = "$undefined$"
#: tasks asked for at once
PAGE = 200


def all_projects(studio: LabelStudio) -> list[Project]:
    with api_errors("list the projects"):
        return list(studio.sdk.projects.list())


def by_title(studio: LabelStudio, title: str) -> Project | None:
    """The oldest project of that title."""
    found = [project for project in all_projects(studio) if project.title == title]
    return min(found, key=lambda project: project.id or 0) if found else None


def number_of(studio: LabelStudio, title: str) -> int:
    """The id of the oldest project of that title.

    Raises:
        SamstudioError: there is none.
    """
    found = by_title(studio, title)
    if found is None:
        raise SamstudioError(
            f"There is no project {title!r}.",
            found="none of that title",
            expected="the quick start's project",
            command="samstudio register",
        )
    return _id(found)


def without_tasks(number: int, lacking: str, expected: str) -> NothingToLookAt:
    """The error for a project that has no task, and so nothing of what it lacks."""
    return NothingToLookAt(
        f"Project {number} has no task, so there is no {lacking}.",
        found="no task",
        expected=f"a project with {expected}",
        command="samstudio status   # lists the projects",
    )


def by_id(studio: LabelStudio, number: int) -> Project:
    with api_errors(f"open project {number}"):
        return studio.sdk.projects.get(number)  # type: ignore[return-value]


def create(studio: LabelStudio, title: str, label_config: str) -> Project:
    """Create a project that embeds a task's image as soon as it is opened.

    `show_collab_predictions` makes Label Studio ask the backend, without a prompt, when a task is opened. The backend
    takes that as a request to embed the image and answers at once with no result, of which Label Studio stores nothing.
    """
    with api_errors(f"create project {title!r}"):
        created = studio.sdk.projects.create(
            title=title,
            label_config=label_config,
            expert_instruction=labeling_configs.instructions(),
            show_collab_predictions=True,
            evaluate_predictions_automatically=False,
        )
        return by_id(studio, _id(created))


def set_config(studio: LabelStudio, number: int, label_config: str) -> None:
    with api_errors(f"set the labeling config of project {number}"):
        studio.sdk.projects.update(number, label_config=label_config)


def upload(studio: LabelStudio, number: int, images: Sequence[Path]) -> None:
    """Make a task of each image, kept by Label Studio itself; their names differ."""
    upload_named(studio, number, {image.name: image for image in images})


def upload_named(studio: LabelStudio, number: int, images: Mapping[str, Path]) -> None:
    """The same under other names than those of the files."""
    parts = {name: (name, image.read_bytes()) for name, image in images.items()}
    with api_errors(f"upload images to project {number}"):
        studio.http.post(f"/api/projects/{number}/import", files=parts).raise_for_status()


def import_tasks(studio: LabelStudio, number: int, data: Sequence[dict[str, str]]) -> None:
    """Make a task of each, all of them or none."""
    with api_errors(f"import tasks into project {number}"):
        studio.http.post(f"/api/projects/{number}/import", json=[{"data": each} for each in data]).raise_for_status()


def tasks(studio: LabelStudio, number: int) -> Iterator[dict[str, Any]]:
    """A project's tasks, as `{"id", "data"}`."""
    return _tasks(studio, number, {})


def tasks_with_image(studio: LabelStudio, number: int, data_key: str, containing: str) -> Iterator[dict[str, Any]]:
    """The tasks whose image URL contains a text, as `{"id", "data"}`.

    Label Studio keeps the URL under a key of its own where the importer named none, shows it under the config's, but
    filters by what it shows only as long as no task of the project names its key.
    """
    items = [
        {"filter": f"filter:tasks:data.{key}", "operator": "contains", "type": "String", "value": containing}
        for key in (data_key, UNNAMED)
    ]
    return _tasks(studio, number, {"filters": {"conjunction": "or", "items": items}})


def any_annotation(studio: LabelStudio, number: int) -> int | None:
    """The id of an annotation of a project, if it has any."""
    annotated = {"filter": "filter:tasks:total_annotations", "operator": "greater", "type": "Number", "value": 0}
    query = json.dumps({"filters": {"conjunction": "and", "items": [annotated]}})
    asked: dict[str, str | int] = {"project": number, "query": query, "fields": "all", "page_size": 1}
    with api_errors(f"look for an annotation of project {number}"):
        found = studio.http.get("/api/tasks", params=asked).raise_for_status().json()["tasks"]
    return next((int(each["id"]) for task in found for each in task["annotations"]), None)


def _tasks(studio: LabelStudio, number: int, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with api_errors(f"list the tasks of project {number}"):
        found: Iterator[Any] = iter(
            studio.sdk.tasks.list(project=number, query=json.dumps(query), fields="task_only", page_size=PAGE)
        )
        for task in found:
            yield {"id": task.id, "data": dict(task.data or {})}


def _id(record: Any) -> int:
    if record.id is None:
        raise SamstudioError("Label Studio answered with a record that has no id.", found=repr(record)[:200])
    return int(record.id)
