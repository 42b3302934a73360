"""A real image, fetched by the backend with its own credentials, and a real click on it."""

from __future__ import annotations

import io
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image

from samstudio.doctor.cause import recognise
from samstudio.doctor.causes.picture import CLICK_EMPTY, CLICK_FAILED, IMAGE_FAILED, NO_TASK, SLOW
from samstudio.doctor.causes.table import SAID_OF_A_CLICK, SAID_OF_AN_IMAGE
from samstudio.doctor.causes.way import PROXY
from samstudio.doctor.finding import Blame, Skip, Status
from samstudio.doctor.patient import Examination
from samstudio.doctor.processes import swallowing_proxy
from samstudio.labelstudio import LabelStudioError, api_errors, http_client
from samstudio.labelstudio.prompts import prompt
from samstudio.verification import interactive

#: A first image on a CPU takes seconds; a fetch that hangs takes longer.
EMBED_SECONDS = 60
#: ms; above this an annotator waits noticeably.
SLOW_MILLISECONDS = 3000
#: EXIF orientations that lay an image on its side.
LYING = (5, 6, 7, 8)
ORIENTATION = 0x0112


def image(x: Examination) -> str:
    """The backend embeds one task's image, which it has to fetch with its own token for that."""
    x.task = _task(x)
    patient = x.patient
    asked = {"project": int(x.project.id), "label_config": x.project.label_config, "tasks": [x.task]}
    auth = httpx.BasicAuth(patient.user, patient.password) if patient.password else None
    with http_client(patient.backend, auth=auth, timeout=30.0) as client:
        answer = client.post("/prewarm", json=asked)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Skip("this backend has no /prewarm; the click shows whether it gets the image")
        answer.raise_for_status()
        if answer.json().get("already"):
            return f"task {x.task['id']}: embedded before"
        # a balancer sends the question to the backend that has the task
        errors = _errors_when_done(client, {"project": int(x.project.id), "task": x.task["id"]})
    if errors:
        raise _of_an_image(x, errors[-1])
    return f"task {x.task['id']}: fetched and embedded"


def _task(x: Examination) -> dict[str, Any]:
    assert x.config is not None
    with api_errors("list the tasks"):
        task: Any
        for task in x.label_studio().sdk.tasks.list(project=int(x.project.id), page_size=1, fields="all"):
            if dict(task.data or {}).get(x.config.data_key):
                return {"id": task.id, "data": dict(task.data or {})}
            break
    raise Blame(NO_TASK, f"no task with ${x.config.data_key}", status=Status.WARN)


def _errors_when_done(client: httpx.Client, asked: dict[str, int]) -> list[str]:
    end = time.monotonic() + EMBED_SECONDS
    while time.monotonic() < end:
        state = client.get("/prewarm", params=asked).raise_for_status().json()
        if state["done"] + state["failed"] >= state["total"]:
            return [str(error) for error in state["errors"]] if state["failed"] else []
        time.sleep(0.2)
    return [f"not embedded within {EMBED_SECONDS} s"]


def _of_an_image(x: Examination, said: str) -> Blame:
    facts: dict[str, Any] = {"said": said, "task": x.task["id"] if x.task else "?"}
    proxy = swallowing_proxy(x.backend_environment(), x.patient.studio_internal)
    cause = PROXY if proxy else recognise(said, SAID_OF_AN_IMAGE) or IMAGE_FAILED
    return Blame(cause, said, who="the backend", proxy=proxy, **facts)


def click(x: Examination) -> str:
    """A click in the middle of the image, sent as the editor does, brings a region back."""
    if x.task is None:
        raise Skip("no image to click")
    assert x.config is not None
    width, height = _size(x, str(x.task["data"][x.config.data_key]))
    context = {"result": prompt(x.config, (width / 2, height / 2), (width, height))}
    started = time.perf_counter()
    try:
        answer = interactive(x.label_studio(), int(x.record.id), x.task["id"], context)
    except LabelStudioError as error:
        said = error.found or error.message
        if cause := recognise(said, SAID_OF_AN_IMAGE):
            raise Blame(cause, said, task=x.task["id"], said=said) from error
        cause = recognise(said, SAID_OF_A_CLICK) or CLICK_FAILED
        raise Blame(cause, said, said=said, address=urlsplit(x.record.url).hostname) from error
    x.click_milliseconds = (time.perf_counter() - started) * 1000
    regions = (answer.get("data") or {}).get("result") or []
    if not regions:
        raise Blame(CLICK_EMPTY, "no region in the answer", status=Status.WARN, task=x.task["id"])
    return f"{len(regions)} region items in {x.click_milliseconds:.0f} ms"


def _size(x: Examination, address: str) -> tuple[int, int]:
    """Width and height as the editor shows the image, upright; a backend refuses a click on another size.

    Raises:
        Skip: this machine cannot get the image, which the backend may well do.
    """
    try:
        parts = urlsplit(address)
        if parts.path.startswith("/data/"):  # Label Studio's own, whatever LABEL_STUDIO_HOST put in front
            answer = x.label_studio().http.get(f"{parts.path}?{parts.query}")
        else:
            answer = httpx.get(address, timeout=30.0, follow_redirects=True)
        with Image.open(io.BytesIO(answer.raise_for_status().content)) as picture:
            width, height = picture.size
            lying = picture.getexif().get(ORIENTATION) in LYING
    except (httpx.HTTPError, OSError) as error:
        raise Skip(f"this machine cannot see the image, so it knows no place to click: {error}") from error
    return (height, width) if lying else (width, height)


def latency(x: Examination) -> str:
    if x.click_milliseconds is None:
        raise Skip("no click came back")
    last = x.status.get("last_click") or {}
    detail = f"on {x.status.get('engine', {}).get('device', 'unknown')}, embedding from {last.get('cache', 'unknown')}"
    told = f"{x.click_milliseconds:.0f} ms through Label Studio, {detail}"
    if x.click_milliseconds > SLOW_MILLISECONDS:
        raise Blame(SLOW, told, status=Status.WARN, milliseconds=f"{x.click_milliseconds:.0f}", detail=detail)
    return told
