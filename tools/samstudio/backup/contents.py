"""How much a Label Studio's database holds: four counts, and one hash over every annotation.

Both kinds of database name the tables alike, so what is asked here is asked of either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

ANNOTATIONS = "task_completion"
#: of annotations that are being drawn
DRAFTS = "tasks_annotationdraft"
#: name in a manifest: table
TABLES = {"projects": "project", "tasks": "task", "annotations": ANNOTATIONS, "users": "htx_user"}
#: of an annotation, what people made; `result` is JSON
COLUMNS = ("id", "task_id", "project_id", "completed_by_id", "was_cancelled", "ground_truth", "result")
Annotation = Sequence[Any]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Contents:
    projects: int
    tasks: int
    annotations: int
    users: int
    #: the highest annotation's id, 0 without any
    last_annotation: int
    #: over every annotation, in the order of their ids
    annotations_sha256: str

    def __str__(self) -> str:
        return f"{self.projects} projects, {self.tasks} tasks, {self.annotations} annotations, {self.users} users"


class Asked(Protocol):
    """A database that answers."""

    def count(self, table: str) -> int: ...

    def annotations(self) -> Iterable[Annotation]:
        """`COLUMNS` of each annotation, ordered by id, with `result` as the JSON that it means."""


def counts(database: Asked) -> dict[str, int]:
    """How much there is of each, by the names of `Contents`."""
    return {name: database.count(table) for name, table in TABLES.items()}


def read(database: Asked, upto: int | None = None) -> Contents:
    """
    Args:
        upto: count and hash no annotation with a higher id.
    """
    found = counts(database)
    digest, number, last = hashlib.sha256(), 0, 0
    for row in database.annotations():
        if upto is None or row[0] <= upto:
            number, last = number + 1, row[0]
            digest.update(_canonical(row))
    return Contents(**{**found, "annotations": number}, last_annotation=last, annotations_sha256=digest.hexdigest())


def _canonical(row: Annotation) -> bytes:
    """The same bytes for the same annotation, whichever database it comes from."""
    number, task, project, by, cancelled, truth, result = row
    told = [number, task, project, by, bool(cancelled), bool(truth), result]
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"
