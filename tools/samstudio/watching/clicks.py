"""The click probe: every drawn object is clicked, through Label Studio and at each backend of a fleet."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from samstudio import backend_client, balancer, samples, verification
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError, explained
from samstudio.labelstudio import LabelStudio, projects
from samstudio.watching.exposition import Sample

#: the label `through` of clicks that go people's way; others are a backend's name
LABEL_STUDIO = "label-studio"
LAST_RIGHT = "samstudio_click_last_right_timestamp_seconds"
RIGHT = "samstudio_click_right"
MEDIAN = "samstudio_click_median_seconds"
LOWEST = "samstudio_click_lowest_iou"

HELPS = {
    LAST_RIGHT: "When every drawn object was last clicked and got its mask; 0 for never.",
    RIGHT: "Whether the last probe clicked every drawn object and got its mask.",
    MEDIAN: "The median click of the last probe, from request to mask.",
    LOWEST: "The worst mask of the last probe: its intersection over union with the drawn object.",
}
Click = Callable[[], dict[str, Any]]


def probe(
    found: Deployment, connect: Callable[[], LabelStudio], password: Callable[[], str], before: list[Sample]
) -> tuple[list[Sample], list[str]]:
    """Click every way there is.

    Args:
        before: what the last probe found, which knows when a click was last right.

    Returns:
        samples, and a sentence for each way on which not every click was right.
    """
    samples_found: list[Sample] = []
    wrong: list[str] = []
    right_before = {each.labels["through"]: each.value for each in before if each.name == LAST_RIGHT}
    for through, click in _ways(found, connect, password):
        told, said = _try(through, click, right_before.get(through, 0))
        samples_found += told
        wrong += [f"no right click through {through}: {said}"] if said else []
    return samples_found, wrong


def _ways(
    found: Deployment, connect: Callable[[], LabelStudio], password: Callable[[], str]
) -> Iterator[tuple[str, Click]]:
    def clicked(name: str = "") -> dict[str, Any]:
        with connect() as studio:
            project = _project(studio, found)
            folder = found.images.host_root / samples.FOLDER
            if not name:
                url = found.backend.internal_url
                return verification.click_samples(studio, project=project, folder=folder, backend_url=url, least_iou=0)
            with _backend(found, password, name) as served:
                return verification.click_samples(studio, project=project, folder=folder, served=served, least_iou=0)

    yield LABEL_STUDIO, clicked
    for backend in found.balancer.backends:
        yield backend.name, functools.partial(clicked, backend.name)


def _try(through: str, click: Click, right_before: float) -> tuple[list[Sample], str]:
    """Samples, and why not every click was right, "" where it was."""
    labels = {"through": through}
    result: dict[str, Any] | None = None
    said = ""
    try:
        result = click()
        least = verification.LEAST_IOU
        if result["iou"]["min"] < least:
            said = f"a mask of IoU {result['iou']['min']:.3f}; expected at least {least} with the drawn object"
    except Exception as error:
        told = explained(error, "samstudio click")
        said = f"{told.message} {told.found}".strip()
    told_samples = [
        Sample(LAST_RIGHT, right_before if said else time.time(), labels),
        Sample(RIGHT, 0 if said else 1, labels),
    ]
    if result:
        told_samples += [
            Sample(MEDIAN, result["milliseconds"]["median"] / 1000, labels),
            Sample(LOWEST, result["iou"]["min"], labels),
        ]
    return told_samples, said


def _project(studio: LabelStudio, found: Deployment) -> int:
    project = projects.by_title(studio, found.project.title)
    if project is None:
        raise NothingToLookAt(
            "Nothing was clicked.",
            found=f"no project {found.project.title!r} with drawn objects",
            expected="the quick start's project",
            command="samstudio register",
        )
    return int(project.id or 0)


@contextmanager
def _backend(found: Deployment, password: Callable[[], str], name: str) -> Iterator[backend_client.Backend]:
    there = balancer.before(found)
    if there is None:
        raise SamstudioError("There is no balancer here.")
    address = there.server(name).address
    with backend_client.connect(f"http://{address}", found.backend.basic_auth_user, password()) as served:
        yield served
