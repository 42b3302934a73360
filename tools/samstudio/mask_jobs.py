"""`samstudio masks` from beginning to end: import what a file has, make the masks, and keep a job's file meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from samstudio import jobs, masks, registration
from samstudio.connected import Connected
from samstudio.datasets import coco, importing, places, yolo
from samstudio.datasets.importing import Imported, Read
from samstudio.deployment import Deployment
from samstudio.jobs import Job, Order, Progress
from samstudio.labelstudio import ml_backends, own_records, predictions
from samstudio.masks import Wanted

IMPORTING, MAKING = "importing images", "making masks"
#: what is being done, and how far it is
Tell = Callable[[str, Progress], None]


def wanted_of(order: Order) -> Wanted:
    if file := order.coco or order.yolo:
        return Wanted(importing.version_of(file.name), order.to, order.labels, called=file.name)
    return Wanted(order.source, order.to, order.labels)


def plan(order: Order, found: Deployment, servers: Connected) -> dict[str, Any]:
    """What a dry run prints; nothing is changed.

    Raises:
        SamstudioError: as `run` does before it begins.
    """
    studio, backend = servers.studio, servers.backend
    read = _read(order, found)
    if read is None:
        assert order.project is not None
        job = masks.job(studio, backend, order.project, wanted_of(order), servers.fleet)
        return {**masks.described(job, job.survey(order.limit), dry_run=True), "imported": None}
    version = wanted_of(order).version(masks.model_of(backend))
    imported, config = importing.find(studio, read, order.project, _title(order), order.to)
    imported.tasks = len(importing.compare(studio, read, imported, config))
    imported.boxed = sum(bool(picture.boxes) for picture in read.pictures) - imported.already
    done = _done(servers, read, imported, config, version)
    survey = masks.Survey(already=len(done))
    for picture in read.pictures:
        boxes = sum(not order.labels or box.label in order.labels for box in picture.boxes)
        if not boxes:
            survey.without += 1
        elif read.place.key(picture) not in done and not (order.limit and len(survey.tasks) >= order.limit):
            survey.tasks.append(0)
            survey.boxes += boxes
    return {**masks.planned(imported.project, version, survey), "imported": asdict(imported)}


def _done(servers: Connected, read: Read, imported: Imported, config: str, version: str) -> set[str]:
    """Keys of the images whose tasks have their masks."""
    tasks = importing.tasks_by_key(servers.studio, read, imported.project, config)
    if imported.project is None:
        return set()
    lacking = predictions.ids_without(servers.studio, imported.project, version, list(tasks.values()))
    return {key for key, task in tasks.items() if task not in lacking}


def run(
    order: Order,
    found: Deployment,
    servers: Connected,
    tell: Tell,
    *,
    project: int | None = None,
    only: Sequence[int] = (),
) -> dict[str, Any]:
    """Do it.

    Args:
        project, only: of an earlier run; these tasks of it alone, and nothing is imported.

    Returns:
        as docs/command-line.md shows it.

    Raises:
        SamstudioError: a server refused, or was away for too long; what is stored stays.
    """
    studio = servers.studio
    read = None if only else _read(order, found)
    imported, config, number = None, "", project if only else order.project
    if read is not None:
        masks.model_of(servers.backend)
        with importing.alone(studio, _where(order)):
            imported, config = importing.find(studio, read, order.project, _title(order), order.to)
            number = importing.ensure_project(studio, imported, config)
        if order.project is None:
            _connect(found, servers, number, imported)
    assert number is not None
    making = masks.job(studio, servers.backend, number, wanted_of(order), servers.fleet)
    job = Job(making.name, order, studio.url, number, making.version)
    with making.alone(), jobs.kept(job) as record:
        if read is not None and imported is not None:
            with importing.alone(studio, f"project {number}"):
                record.doing(IMPORTING)
                importing.run(studio, read, imported, config, record, partial(tell, IMPORTING))
        record.doing(MAKING)
        record.settle(
            making.version, lambda ids: len(predictions.ids_without(studio, number, making.version, ids)) < len(ids)
        )
        result = making.run(making.survey(order.limit, only), partial(tell, MAKING), record)
    return {
        **result,
        "changed": result["changed"] or bool(imported and (imported.made or imported.tasks or imported.boxed)),
        "imported": None if imported is None else asdict(imported),
    }


def _read(order: Order, found: Deployment) -> Read | None:
    """The dataset that was named, its images looked at; None without any."""
    if order.images is None:
        return None
    if order.coco is not None:
        dataset = coco.read(order.coco)
    else:
        assert order.yolo is not None
        dataset = yolo.read(order.yolo, order.images)
    return importing.inspect(dataset, order.images, places.of(order.images, found))


def _connect(found: Deployment, servers: Connected, number: int, imported: Imported) -> None:
    """Clicks in a project that was made here ask the backend, and it may read what Label Studio keeps of it."""
    if not found.described:
        imported.notes.append(
            f"the backend is not connected to project {number}; connect it: samstudio register --project {number} "
            f"--label-studio-url {found.label_studio.url} --backend-url URL"
        )
        return
    settings = found.backend
    wanted = ml_backends.Wanted(settings.internal_url, registration.TITLE, settings.basic_auth_user, servers.password)
    registration.at_address(servers.studio, wanted, [number], own_records.of(found))


def _title(order: Order) -> str:
    """Of the project that is made or found."""
    file = order.coco or order.yolo
    assert file is not None
    return order.title or f"Boxes of {file.name}"


def _where(order: Order) -> str:
    return _title(order) if order.project is None else f"project {order.project}"
