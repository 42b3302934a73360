"""The verification click: what the editor sends, through Label Studio's own API, measured against the drawn mask."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samstudio import samples
from samstudio.backend_client import Backend
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt
from samstudio.labelstudio import LabelStudio, LabelStudioError, api_errors, label_config, ml_backends, projects
from samstudio.labelstudio.prompts import prompt

RESERVED = "reserved network"
#: below it a mask is not that of the drawn object
LEAST_IOU = 0.8


@dataclass(frozen=True)
class Click:
    """One click's outcome. `milliseconds` is the whole way: Label Studio, backend, and back."""

    image: str
    task: int
    shape: str
    iou: float
    milliseconds: float


def click_samples(
    studio: LabelStudio,
    *,
    project: int,
    folder: Path,
    backend_url: str = "",
    served: Backend | None = None,
    least_iou: float = LEAST_IOU,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Click every drawn object of the sample tasks and compare each mask.

    Args:
        folder: where the samples' manifest lies.
        backend_url: the record to click through, as Label Studio names it; or
        served: the backend to click at, past Label Studio's API.

    Returns:
        `changed` (False), `clicks`, `iou` and `milliseconds` with their `min`/`mean` and `first`/`median`/`max`.

    Raises:
        LabelStudioError: a link broke, named by its `link`, with Label Studio's own `errors` text; or a mask was wrong.
    """
    xml = projects.by_id(studio, project).label_config or "<View/>"
    config = _parsed(xml, project)
    record = 0 if served else _record(studio, project, backend_url)

    def ask(task: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
        if served:
            return {"data": served.predict(project, xml, task, context)}
        return interactive(studio, record, task["id"], context)

    tasks = sample_tasks(studio, project, config)
    clicks = []
    for scene in samples.load(folder):
        if scene.file not in tasks:
            raise LabelStudioError(
                f"{scene.file} is not a task of project {project}.",
                link="label-studio",
                found=f"tasks of {', '.join(sorted(tasks)) or 'no sample'}",
                expected="the drawn samples imported",
                command="samstudio register",
            )
        for shape in scene.shapes:
            say(f"clicking the {shape.label} in {scene.file}")
            clicks.append(_click(ask, tasks[scene.file], config, scene.file, shape))
    if not clicks:
        raise NothingToLookAt(
            "No object was clicked, so nothing is proven.",
            link="label-studio",
            found=f"no drawn object in {folder}",
            expected="the drawn samples",
            command="samstudio samples draw && samstudio register",
        )
    worst = min(clicks, key=lambda click: click.iou)
    if worst.iou < least_iou:
        raise LabelStudioError(
            f"The click on the {worst.shape} in {worst.image} returned the wrong mask.",
            link="mask",
            found=", ".join(f"{click.image} {click.shape}: IoU {click.iou:.3f}" for click in clicks),
            expected=f"IoU of at least {least_iou} with the drawn shape",
            command="samstudio status   # which model answers",
        )
    times = [click.milliseconds for click in clicks]
    return {
        "changed": False,
        "project": project,
        "ml_backend": record,
        "clicks": [asdict(click) for click in clicks],
        "iou": {"min": worst.iou, "mean": statistics.fmean(click.iou for click in clicks)},
        "milliseconds": {"first": times[0], "median": statistics.median(times), "max": max(times)},
    }


def click_quick_start(studio: LabelStudio, found: Deployment, say: Callable[[str], None]) -> dict[str, Any] | None:
    """`click_samples` in the quick start's project, which people may have removed; None then.

    Raises:
        LabelStudioError: as `click_samples` does.
    """
    if (project := projects.by_title(studio, found.project.title)) is None or project.id is None:
        say(f"no click is made: there is no project {found.project.title!r} with drawn objects to click")
        return None
    folder = found.images.host_root / samples.FOLDER
    return click_samples(studio, project=project.id, folder=folder, backend_url=found.backend.internal_url, say=say)


def _parsed(xml: str, project: int) -> label_config.LabelConfig:
    try:
        return label_config.parse(xml)
    except ValueError as error:
        raise LabelStudioError(
            f"Project {project} has no image to click.",
            link="label-config",
            found=str(error),
            expected="a project of images, such as the quick start's",
            command="samstudio register   # makes one; samstudio click --project ID names another",
        ) from error


def _record(studio: LabelStudio, project: int, backend_url: str) -> int:
    found = ml_backends.records(studio, project)
    record = next((record for record in found if ml_backends.same_place(record.url, backend_url)), None)
    if record is None:
        raise LabelStudioError(
            f"The backend is not connected to project {project}.",
            link="ml-backend",
            found=", ".join(record.url for record in found) or "no ML backend record",
            expected=backend_url,
            command="samstudio register",
        )
    return int(record.id or 0)


def sample_tasks(studio: LabelStudio, project: int, config: label_config.LabelConfig) -> dict[str, dict[str, Any]]:
    """The tasks whose image is a drawn sample, by the sample's file."""
    found = projects.tasks_with_image(studio, project, config.data_key, "sample-")
    named = ((samples.named_by(str(task["data"].get(config.data_key, ""))), task) for task in found)
    return {file: task for file, task in named if file}


#: from a task and a context to an answer as `interactive` gives it
Ask = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


def _click(ask: Ask, task: dict[str, Any], config: label_config.LabelConfig, file: str, shape: samples.Shape) -> Click:
    drawn = samples.mask(shape)
    size = (samples.WIDTH, samples.HEIGHT)
    context = {"result": prompt(config, shape.click, size, box=Image.fromarray(drawn).getbbox())}
    started = time.perf_counter()
    answer = ask(task, context)
    elapsed = (time.perf_counter() - started) * 1000
    return Click(
        file, task["id"], shape.label, round(samples.iou(decoded(answer, drawn.shape), drawn), 4), round(elapsed, 1)
    )


def interactive(studio: LabelStudio, record: int, task: int, context: dict[str, Any]) -> dict[str, Any]:
    """Post to `interactive-annotating`, which answers 200 with `errors` when the backend did not.

    Raises:
        LabelStudioError: Label Studio refused, or `errors` came back; `link` says whose fault that is.
    """
    with api_errors("click through Label Studio"):
        answer = studio.http.post(f"/api/ml/{record}/interactive-annotating", json={"task": task, "context": context})
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
    if body.get("errors"):
        raise _broken("; ".join(map(str, body["errors"])))
    return body


def _broken(said: str) -> LabelStudioError:
    if RESERVED in said:
        link, expected = "ssrf-guard", "the backend's address left out of Label Studio's banned list"
        command = "samstudio ssrf show"
    elif "401 Client Error" in said:
        link, expected, command = "backend-auth", "the basic auth the backend was started with", "samstudio register"
    elif "interactive" in said:
        link, expected, command = "ml-backend", "interactive preannotations on", "samstudio register"
    else:
        link, expected, command = "backend", "an answer from the backend", "samstudio doctor"
    return LabelStudioError(
        "The click did not come back: Label Studio got no prediction.",
        link=link,
        found=said,
        expected=expected,
        command=command,
    )


def decoded(answer: dict[str, Any], size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The mask in an answer, bool of shape `size` (height, width), decoded by Label Studio's own SDK.

    Raises:
        LabelStudioError: no brush RLE in it, or one of another size.
    """
    from label_studio_sdk.converter.brush import decode_rle

    results = (answer.get("data") or {}).get("result") or []
    rle = next((item["value"]["rle"] for item in results if "rle" in item.get("value", {})), None)
    if rle is None:
        raise LabelStudioError(
            "The backend answered without a mask.",
            link="backend",
            found=f"{len(results)} results: {', '.join(str(item.get('type')) for item in results) or 'none'}",
            expected="a brush result with an RLE",
            command="samstudio status",
        )
    pixels = decode_rle(rle)
    if pixels.size != size[0] * size[1] * 4:
        raise LabelStudioError(
            "The mask has the wrong size.",
            link="mask",
            found=f"{pixels.size // 4} pixels",
            expected=f"{size[1]}×{size[0]}",
            command="samstudio status",
        )
    return np.asarray(pixels.reshape(*size, 4)[:, :, 3] > 0, dtype=np.bool_)
