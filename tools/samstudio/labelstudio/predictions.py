"""Predictions of one model version, task by task: which tasks lack one, and how they get it.

Label Studio's own records say what is done, so whoever is interrupted finds out by asking.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from samstudio.labelstudio.client import LabelStudio, LabelStudioError, api_errors

#: Tasks asked for at once with all that is in them: their numbers fit into one address.
PAGE = 50


def tasks_without(studio: LabelStudio, project: int, version: str) -> Iterator[list[dict[str, Any]]]:
    """Pages of tasks that have no prediction of this version, with annotations and predictions, by ascending id.

    Each page is asked for behind the last task of the one before, so that it does not matter what got one meanwhile.
    """
    return _pages(studio, project, _version("not_contains", version))


def tasks_with(studio: LabelStudio, project: int, version: str) -> Iterator[list[dict[str, Any]]]:
    """The same of those that have one."""
    return _pages(studio, project, _version("contains", version))


def _pages(studio: LabelStudio, project: int, wanted: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    last = 0
    while True:
        behind = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
        page = _page(studio, project, _filtered(behind, wanted), PAGE, everything=True)
        if page["tasks"]:
            yield page["tasks"]
        if len(page["tasks"]) < PAGE:
            return
        last = page["tasks"][-1]["id"]


def tasks_of(studio: LabelStudio, project: int, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Those of these tasks that are still there, with annotations and predictions."""
    return list(_page(studio, project, _selected(ids), len(ids), everything=True)["tasks"])


def count_with(studio: LabelStudio, project: int, version: str) -> int:
    """Tasks that have a prediction of this version."""
    return int(_page(studio, project, _filtered(_version("contains", version)), 1)["total"])


def ids_without(studio: LabelStudio, project: int, version: str, ids: Sequence[int]) -> set[int]:
    """Those of these tasks that are there and have no prediction of this version."""
    lacking = set()
    for some in (ids[start : start + PAGE] for start in range(0, len(ids), PAGE)):
        query = {**_filtered(_version("not_contains", version)), **_selected(some)}
        lacking |= {task["id"] for task in _page(studio, project, query, len(some))["tasks"]}
    return lacking


def import_missing(studio: LabelStudio, project: int, predictions: Sequence[dict[str, Any]]) -> int:
    """Store predictions (`{"task", "result", "score", "model_version"}`), all of one version, at once or not at all.

    A task that has one of that version meanwhile, or is gone, gets none, so that this may be repeated.

    Returns:
        how many were stored.

    Raises:
        LabelStudioError: Label Studio refused, or took fewer than it was given.
    """
    lacking = ids_without(studio, project, predictions[0]["model_version"], [each["task"] for each in predictions])
    wanted = [each for each in predictions if each["task"] in lacking]
    if not wanted:
        return 0
    with api_errors(f"import predictions into project {project}"):
        answer = studio.http.post(f"/api/projects/{project}/import/predictions", json=wanted).raise_for_status()
        created = int(answer.json()["created"])
    if created != len(wanted):
        raise LabelStudioError(
            f"Label Studio stored {created} of {len(wanted)} predictions.",
            status=answer.status_code,
            link="label-studio",
            found="predictions that do not fit the labeling config, as Label Studio sees it",
            expected="all of them stored; its log names the others",
            command="docker logs label-studio",
        )
    return created


def _page(
    studio: LabelStudio, project: int, query: dict[str, Any], size: int, *, everything: bool = False
) -> dict[str, Any]:
    fields = "all" if everything else "task_only"
    asked: dict[str, str | int] = {"project": project, "fields": fields, "page": 1, "page_size": size}
    asked["query"] = json.dumps(query)
    with api_errors(f"list the tasks of project {project}"):
        answer = studio.http.get("/api/tasks", params=asked).raise_for_status().json()
        return {"tasks": list(answer["tasks"]), "total": int(answer["total"])}


def _filtered(*items: dict[str, Any]) -> dict[str, Any]:
    return {"filters": {"conjunction": "and", "items": list(items)}, "ordering": ["tasks:id"]}


def _version(operator: str, version: str) -> dict[str, Any]:
    return {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": operator,
        "type": "List",
        "value": [version],
    }


def _selected(ids: Sequence[int]) -> dict[str, Any]:
    return {"selectedItems": {"all": False, "included": list(ids)}, "ordering": ["tasks:id"]}
