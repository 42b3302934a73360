"""A real image, fetched by the backend with its own credentials, a real click on it, and how long that took."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image

from samstudio.causes import Cause, recognise
from samstudio.doctor.link import Known, Link, Result, broken, ok, skipped, warning
from samstudio.doctor.links.backend import BACKEND_AUTH_WRONG, BACKEND_LOADING
from samstudio.doctor.links.label_studio import GUARD_BLOCKS
from samstudio.doctor.links.network import DROPPED, PROXY
from samstudio.doctor.pair import Pair
from samstudio.doctor.probes import swallowing_proxy
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

NO_TASK = Cause(
    "no-task",
    (),
    "Project {project} has no task with an image, so there is nothing to click.",
    "samstudio samples draw && samstudio register",
)
IMAGE_TOKEN = Cause(
    "image-token-refused",
    (
        "refused the personal access token",
        "refused the image (HTTP 401)",
        "refused the image (HTTP 403)",
        "401 Client Error: Unauthorized for url: …/data/",
        "…/api/token/refresh/",
        "403 Client Error: Forbidden for url: …/data/",
    ),
    "Label Studio refuses the backend's own token (legacy tokens off, an expired token, or that of another server).",
    "deployed: sudo samstudio token rotate, which also brings the new token to the backend (in a fleet: "
    "./samstudio deploy); by hand: make a personal access token, give it to the backend as LABEL_STUDIO_API_KEY and "
    "restart it",
)
IMAGE_RELATIVE = Cause(
    "image-no-host",
    (
        "No connection adapters were found for",
        "whose address is not known: set LABEL_STUDIO_URL",
        "Invalid URL '/data/…No scheme supplied",
        "is neither a URL nor a Label Studio path",
    ),
    "The task's image address has no host, and the backend does not know Label Studio's.",
    "set LABEL_STUDIO_URL={label_studio_url} (scheme included) for the backend and restart it",
)
IMAGE_LOCAL_FILE = Cause(
    "image-local-files",
    (
        "The local file … cannot be read",
        "No such file or directory: '/data/…",
        "404 …/data/local-files/",
        "Label Studio has no image at /data/local-files",
    ),
    "The image is a local file that is not where the backend or Label Studio look: not mounted, or another "
    "LOCAL_FILES_DOCUMENT_ROOT.",
    "mount one folder into both, LOCAL_FILES_DOCUMENT_ROOT its parent in both; deployed: ./samstudio deploy",
)
IMAGE_MISSING = Cause(
    "image-missing",
    (
        "404 Client Error: Not Found for url: …/data/upload/",
        "Label Studio has no image at",
        "500 Server Error: …/data/upload/",
        "404 Client Error",
    ),
    "There is no such image on the server the backend asks: a deleted upload, or LABEL_STUDIO_URL of another server.",
    "open the task in Label Studio; compare LABEL_STUDIO_URL of the backend with {label_studio_url}",
)
IMAGE_UNREACHABLE = Cause(
    "image-host-unreachable",
    (
        "Cannot connect to Label Studio at",
        "Cannot connect to The image host",
        "did not deliver the image within",
        "Failed to establish a new connection",
        "Max retries exceeded with url",
    ),
    "The backend cannot connect to where the image lies: localhost inside a container, a wrong port, or a firewall.",
    "set LABEL_STUDIO_URL={label_studio_url} for the backend and restart it",
)
#: What a backend may say of an image it could not fetch.
SAID_OF_AN_IMAGE = (IMAGE_TOKEN, IMAGE_RELATIVE, IMAGE_LOCAL_FILE, IMAGE_MISSING, IMAGE_UNREACHABLE)
IMAGE_FAILED = Cause(
    "image-failed",
    (),
    "The backend cannot use the image of task {task}: {said}.",
    "docker logs --tail 50 {container}",
)
CLICK_FAILED = Cause(
    "click-failed",
    ("Incorrect response from ML service", "results field must be a list with at least one item"),
    "A click through Label Studio came back without a prediction: {said}.",
    "docker logs --tail 50 {container}",
)
#: What Label Studio may say of a click, once it counts the backend as connected.
SAID_OF_A_CLICK = (GUARD_BLOCKS, PROXY, DROPPED, BACKEND_AUTH_WRONG, BACKEND_LOADING)
CLICK_EMPTY = Cause(
    "click-empty",
    (),
    "A click in the middle of the image of task {task} returned no mask; that may be right for that image.",
    "samstudio click, which clicks drawn objects whose masks are known",
)
SLOW = Cause(
    "click-slow",
    (),
    "The click took {milliseconds} ms ({detail}).",
    "samstudio prewarm {project}; on a host with a GPU see the gpu link",
)


def check_image(pair: Pair, known: Known) -> Result:
    """The backend embeds one task's image, which it has to fetch with its own token for that."""
    assert known.config is not None
    task = _task(known, known.config.data_key)
    if task is None:
        return warning(NO_TASK, f"no task with ${known.config.data_key}")
    number = int(known.project.id)
    asked = {"project": number, "label_config": known.project.label_config, "tasks": [task]}
    auth = httpx.BasicAuth(pair.user, pair.password) if pair.password else None
    with http_client(pair.backend, auth=auth, timeout=30.0) as client:
        answer = client.post("/prewarm", json=asked)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return skipped("this backend has no /prewarm; the click shows whether it gets the image", task=task)
        if answer.raise_for_status().json().get("already"):
            return ok(f"task {task['id']}: embedded before", task=task)
        # a balancer sends the question to the backend that has the task
        errors = _errors_when_done(client, {"project": number, "task": task["id"]})
    if errors:
        return _of_an_image(pair, task, errors[-1])
    return ok(f"task {task['id']}: fetched and embedded", task=task)


def _task(known: Known, key: str) -> dict[str, Any] | None:
    """The project's first task, if it has an image."""
    with api_errors("list the tasks"):
        task: Any
        for task in known.label_studio().sdk.tasks.list(project=int(known.project.id), page_size=1, fields="all"):
            data = dict(task.data or {})
            return {"id": task.id, "data": data} if data.get(key) else None
    return None


def _errors_when_done(client: httpx.Client, asked: dict[str, int]) -> list[str]:
    end = time.monotonic() + EMBED_SECONDS
    while time.monotonic() < end:
        state = client.get("/prewarm", params=asked).raise_for_status().json()
        if state["done"] + state["failed"] >= state["total"]:
            return [str(error) for error in state["errors"]] if state["failed"] else []
        time.sleep(0.2)
    return [f"not embedded within {EMBED_SECONDS} s"]


def _of_an_image(pair: Pair, task: Mapping[str, Any], said: str) -> Result:
    proxy = swallowing_proxy(pair.backend_environment(), pair.studio_internal)
    cause = PROXY if proxy else recognise(said, SAID_OF_AN_IMAGE) or IMAGE_FAILED
    return broken(cause, said, who="the backend", proxy=proxy, said=said, task=task["id"])


def check_click(_: Pair, known: Known) -> Result:
    """A click in the middle of the image, sent as the editor does, brings a region back."""
    if known.task is None or known.config is None:
        return skipped("no image to click")
    try:
        size = _size(known, str(known.task["data"][known.config.data_key]))
    except (httpx.HTTPError, OSError) as error:
        return skipped(f"this machine cannot see the image, so it knows no place to click: {error}")
    number = known.task["id"]
    context = {"result": prompt(known.config, (size[0] / 2, size[1] / 2), size)}
    started = time.perf_counter()
    try:
        answer = interactive(known.label_studio(), int(known.record.id), number, context)
    except LabelStudioError as error:
        said = error.found or error.message
        cause = recognise(said, SAID_OF_AN_IMAGE + SAID_OF_A_CLICK) or CLICK_FAILED
        return broken(cause, said, said=said, task=number, address=urlsplit(known.record.url).hostname)
    milliseconds = (time.perf_counter() - started) * 1000
    regions = (answer.get("data") or {}).get("result") or []
    if not regions:
        learned = {"click_milliseconds": milliseconds}
        return warning(CLICK_EMPTY, "no region in the answer", learned=learned, task=number)
    return ok(f"{len(regions)} region items in {milliseconds:.0f} ms", click_milliseconds=milliseconds)


def _size(known: Known, address: str) -> tuple[int, int]:
    """Width and height as the editor shows the image, upright; a backend refuses a click on another size.

    Raises:
        httpx.HTTPError, OSError: this machine cannot get the image, which the backend may well do.
    """
    parts = urlsplit(address)
    if parts.path.startswith("/data/"):  # Label Studio's own, whatever LABEL_STUDIO_HOST put in front
        answer = known.label_studio().http.get(f"{parts.path}?{parts.query}")
    else:
        answer = httpx.get(address, timeout=30.0, follow_redirects=True)
    with Image.open(io.BytesIO(answer.raise_for_status().content)) as picture:
        width, height = picture.size
        lying = picture.getexif().get(ORIENTATION) in LYING
    return (height, width) if lying else (width, height)


def check_latency(_: Pair, known: Known) -> Result:
    """The click was quick enough to work with."""
    if known.click_milliseconds is None:
        return skipped("no click came back")
    last, engine = known.status.get("last_click") or {}, known.status.get("engine") or {}
    detail = f"on {engine.get('device', 'unknown')}, embedding from {last.get('cache', 'unknown')}"
    milliseconds = f"{known.click_milliseconds:.0f}"
    evidence = f"{milliseconds} ms through Label Studio, {detail}"
    if known.click_milliseconds > SLOW_MILLISECONDS:
        return warning(SLOW, evidence, milliseconds=milliseconds, detail=detail)
    return ok(evidence)


IMAGE = Link(
    "image",
    check_image,
    needs=("label-config", "backend-auth"),
    causes=(NO_TASK, *SAID_OF_AN_IMAGE, IMAGE_FAILED),
)
CLICK = Link("click", check_click, needs=("ml-record", "interactive", "image"), causes=(CLICK_FAILED, CLICK_EMPTY))
LATENCY = Link("latency", check_latency, needs=("click",), causes=(SLOW,))
