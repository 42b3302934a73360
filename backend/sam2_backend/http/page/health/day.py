"""The last day as charts, each with what it shows in words."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from sam2_backend.history.minute import Minute
from sam2_backend.http.page.health import curves
from sam2_backend.http.page.health.markup import element
from sam2_backend.http.page.health.verdict import Seen
from sam2_backend.http.page.health.words import clock, many, seconds, size, span


def day(seen: Seen, shown: curves.Window) -> Iterator[Element]:
    """Heading, a sentence, and the charts."""
    yield element("h2", "The last 24 hours")
    yield element("p", _noted(seen, shown))
    bins = shown.bins
    whole = seen.last(24 * 60)
    yield _clicks(bins, whole, shown)
    yield _seconds(bins, whole, shown)
    yield _failures(bins, whole, shown)
    yield _progress(bins, whole, shown)
    yield _memory(bins, whole, shown)


def _noted(seen: Seen, shown: curves.Window) -> str:
    if len(seen.day) < 2:
        return "Nothing yet: the first curves are here in a few minutes."
    starts = seen.last(24 * 60).starts
    began = f" The process began {'once' if starts == 1 else many(starts, 'time')}." if starts else ""
    first = seen.day[0].at
    known = f"Notes begin at {clock(60 * first)}. " if first > shown.begin + curves.BIN else ""
    if not shown.minutes_away:
        return f"{known}A model was ready all the time.{began} Times are UTC."
    away = span(60 * shown.minutes_away)
    return (
        f"{known}Shaded: for {away} no click could get a mask, since the backend did not run or had no model.{began} "
        "Times are UTC."
    )


def _clicks(bins: curves.Bins, whole: Minute, shown: curves.Window) -> Element:
    prepared = [each.prepared if each else 0 for each in bins]
    unprepared = [each.unprepared if each else 0 for each in bins]
    scale = curves.linear([one + other for one, other in zip(prepared, unprepared, strict=True)], _count)
    said = "No click got a mask."
    if whole.clicks:
        share = f"{100 * whole.prepared / whole.clicks:.0f} % of them found their image encoded"
        said = f"{many(whole.clicks, 'click')} got a mask, {share}."
    names = [("prepared", "image was encoded already"), ("unprepared", "image had to be encoded first")]
    return curves.chart("Clicks", "in 5 minutes", said, scale, curves.bars(names, [prepared, unprepared], scale), shown)


def _seconds(bins: curves.Bins, whole: Minute, shown: curves.Window) -> Element:
    half, most = ([each.quantile(share) if each else None for each in bins] for share in (0.5, 0.95))
    series = [
        curves.lines("most", "19 of 20 within", most, curves.SECONDS),
        curves.lines("half", "half of them within", half, curves.SECONDS),
    ]
    median, slowest = whole.quantile(0.5), whole.quantile(0.95)
    said = "No click got a mask."
    if median is not None and slowest is not None:
        said = f"Half of the clicks took {seconds(median)} at most, 19 of 20 took {seconds(slowest)} at most."
    return curves.chart("Time of a click", "each line is ten times the one below", said, curves.SECONDS, series, shown)


def _failures(bins: curves.Bins, whole: Minute, shown: curves.Window) -> Element:
    failed = [each.failed if each else 0 for each in bins]
    refused = [each.refused if each else 0 for each in bins]
    scale = curves.linear([one + other for one, other in zip(failed, refused, strict=True)], _count)
    said = f"{many(whole.failed, 'fault')}; {many(whole.refused, 'request')} could not be done as asked."
    faults = "a fault: an image does not come, the device, the queue, a password"
    names = [("failed", faults), ("refused", "could not be done as asked")]
    return curves.chart("Errors", "in 5 minutes", said, scale, curves.bars(names, [failed, refused], scale), shown)


def _progress(bins: curves.Bins, whole: Minute, shown: curves.Window) -> Element:
    clicking = [each.clicking if each else None for each in bins]
    encoding = [each.encoding if each else None for each in bins]
    scale = curves.linear([value or 0 for value in (*clicking, *encoding)], _count)
    said = f"{many(whole.encoded, 'image was', 'images were')} encoded, for clicks and ahead of them."
    series = [
        curves.lines("encoding", "images to encode", encoding, scale),
        curves.lines("clicking", "clicks", clicking, scale),
    ]
    return curves.chart("Waiting or being worked on", "looked at every minute", said, scale, series, shown)


def _memory(bins: curves.Bins, whole: Minute, shown: curves.Window) -> Element:
    process = [each.memory if each else None for each in bins]
    device = [each.device_memory if each else None for each in bins]
    scale = curves.linear([value or 0 for value in (*process, *device)], size, least=200e6)
    series = [curves.lines("process", "the process", process, scale)]
    said = f"The process took {size(whole.memory)} at most."
    if whole.device_memory:
        series.append(curves.lines("device", "PyTorch on the GPU", device, scale))
        said = f"The process took {size(whole.memory)} at most, PyTorch {size(whole.device_memory)} of the GPU."
    return curves.chart("Memory", "in use", said, scale, series, shown)


def _count(value: float) -> str:
    return f"{value:,.0f}"
