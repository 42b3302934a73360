"""The page itself: what is so right now, the last errors, and the last day."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from sam2_backend.http.page.health.curves import away, window
from sam2_backend.http.page.health.day import day
from sam2_backend.http.page.health.markup import document, element
from sam2_backend.http.page.health.verdict import Seen, moment, verdict
from sam2_backend.http.page.health.words import clock, day_and_clock, many, seconds, size, span

# How many of the last errors, and characters of each: the page stays small whatever they say.
ERRORS, CHARACTERS = 10, 400
REFRESH = "60"  # seconds
CACHE = {"memory": "was in memory", "disk": "was on disk", "miss": "had to be encoded first"}


def page(seen: Seen, disk_limit: int) -> bytes:
    """HTML. disk_limit: CACHE_DISK_BYTES."""
    judged = verdict(seen)
    shown = window(seen.day, seen.minute)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="refresh", content=REFRESH),
        element("title", f"{judged.level}: SAM 2 backend"),
        element("link", rel="icon", href="data:,"),
        element("link", rel="stylesheet", href="page.css"),
        element("link", rel="stylesheet", href="health/health.css"),
    )
    shown_at = f"{day_and_clock(seen.now)}, looked at anew every minute. "
    link = element("a", "Try the model", href="../ui")
    header = element("header", element("h1", "SAM 2 backend: health"), element("p", shown_at, link))
    body = element(
        "body",
        header,
        element(
            "section",
            element("p", judged.said),
            *([element("ul", *(element("li", each) for each in judged.look_at))] if judged.look_at else []),
            class_=f"verdict {judged.level}",
        ),
        away(shown),
        element(
            "main",
            element("section", element("h2", "Right now"), _now(seen, disk_limit), _errors(seen), class_="right-now"),
            element("section", *day(seen, shown), class_="day"),
        ),
        element(
            "footer",
            "This page knows of this one backend only. Label Studio, other backends, backups and certificates: ",
            element("code", "sudo samstudio status"),
            " on Label Studio's host. What is wrong with clicks, and what mends it: ",
            element("code", "sudo samstudio doctor"),
            ".",
        ),
    )
    return document(element("html", head, body, lang="en"))


def _now(seen: Seen, disk_limit: int) -> Element:
    rows = [*_model(seen), *_work(seen), *_cache(seen, disk_limit)]
    return element("dl", *(part for name, said in rows for part in (element("dt", name), element("dd", said))))


def _model(seen: Seen) -> Iterator[tuple[str, str]]:
    model, engine = seen.status["model"], seen.status["engine"]
    if model and engine:
        demo = ", the demo model, which knows drawn shapes only" if model["demo"] else ""
        yield "Model", f"{model['checkpoint']}{demo}"
        yield "Device", engine["device"]
        yield "Precision", f"{engine['precision']} by {engine['name']} (asked for: {engine['asked']})"
    yield "Running for", f"{span(seen.now - seen.started)}, since {day_and_clock(seen.started)}"
    yield "Version", seen.status["versions"]["sam2_backend"]


def _work(seen: Seen) -> Iterator[tuple[str, str]]:
    last = seen.status["last_click"]
    if last:
        took = f"{seconds(last['milliseconds']['total'] / 1000)}, its image {CACHE[last['cache']]}"
        yield "Last click", f"{span(seen.now - moment(last['at']))} ago, {took}"
    else:
        yield "Last click", "none since the process began"
    level, queue = seen.last(1), seen.status["queue"]
    clicks = f"{many(queue['depth'], 'click')} of at most {queue['limit']}"
    yield "In progress", f"{clicks}, {many(queue['prewarm'], 'image')} to prewarm"
    for job in seen.status["jobs"]:
        over = f"{job['done'] + job['failed']:,} of {job['total']:,} tasks"
        yield "Job", f"{job['name']}: {over}, {job['failed']:,} failed"
    gpu = f", {size(level.device_memory)} on the GPU" if level.device_memory else ""
    yield "Memory", f"{size(level.memory)}{gpu}"


def _cache(seen: Seen, disk_limit: int) -> Iterator[tuple[str, str]]:
    cache = seen.status["cache"]
    if cache:
        yield "Images in memory", f"{cache['memory_entries']:,} ({size(cache['memory_bytes'])})"
        held = f"{cache['disk_entries']:,} ({size(cache['disk_bytes'])} of at most {size(disk_limit)})"
        yield "Images on disk", held if disk_limit else "none are kept (CACHE_DISK_BYTES is 0)"
    if seen.free is not None and seen.disk is not None:
        yield "Disk of the cache", f"{size(seen.free)} of {size(seen.disk)} free"


def _errors(seen: Seen) -> Element:
    errors = list(reversed(seen.status["last_errors"]))[:ERRORS]
    if not errors:
        return element("div", element("h2", "Last errors"), element("p", "None since the process began."))
    rows = []
    for each in errors:
        at = moment(each["at"])
        about = element("small", f"{span(seen.now - at)} ago, {clock(at)} UTC, {each['where']}")
        rows.append(element("li", about, element("br"), _shortened(each["message"])))
    return element("div", element("h2", "Last errors"), element("ol", *rows, class_="errors"))


def _shortened(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"
