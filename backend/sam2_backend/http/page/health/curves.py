"""A day as SVG. The drawing is stretched to the window's width, and what is written on it is not.

A place on it is (x, y): x in BINs since the window's left edge, y in percent from the top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sam2_backend.history.day import MINUTES
from sam2_backend.history.minute import Minute
from sam2_backend.http.page.health.markup import element
from sam2_backend.http.page.health.words import clock

BIN = 5  # minutes
BINS = MINUTES // BIN
# Of a bar: one click beside thousands is seen, too.
LEAST = 2.0
FRAME, PLOT = 136, 112  # pixels, with and without the clock below
LABEL_EVERY = 3  # hours
# Share of the width at its right edge that belongs to "now", and to "now" in a narrow window.
NOW, NARROW_NOW = 0.93, 0.8
Bins = Sequence[Minute | None]


@dataclass(frozen=True, slots=True)
class Window:
    """The day's minutes by bins that end on the clock's five minutes; None where nothing was noted.

    begin: its first minute. end: the minute that it is now. away: runs of minutes, the first and the one behind the
    last, in which no click could get a mask, since the first one that was noted.
    """

    begin: int
    end: int
    bins: Bins
    away: Sequence[tuple[int, int]]

    @property
    def minutes_away(self) -> int:
        return sum(end - begin for begin, end in self.away)

    def x(self, minute: float) -> float:
        return (minute - self.begin) / BIN


def window(minutes: Sequence[Minute], now: int) -> Window:
    """minutes: of the last day, oldest first. now: the minute that it is."""
    begin = (now // BIN + 1) * BIN - MINUTES
    bins: list[Minute | None] = [None] * BINS
    away: list[tuple[int, int]] = []
    seen = None
    for minute in minutes:
        if minute.at < begin:
            seen = begin
            continue
        number = (minute.at - begin) // BIN
        known = bins[number]
        bins[number] = known.and_then(minute) if known else minute
        if seen is not None and minute.at > seen:
            away.append((seen, minute.at))
        if not minute.ready:
            away.append((minute.at, minute.at + 1))
        seen = minute.at + 1
    return Window(begin, now, bins, _joined(away))


def _joined(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in runs:
        if joined and joined[-1][1] == begin:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


@dataclass(frozen=True, slots=True)
class Scale:
    """labels: from the top, evenly spread. y: of a value."""

    labels: Sequence[str]
    y: Callable[[float], float]


def linear(values: Iterable[float], label: Callable[[float], str], least: float = 2) -> Scale:
    """From 0 to the next of 2, 4, 10, 20, 40, 100 ..., so that half of it is a round number, too."""
    highest = max([least, *values])
    decade = 10.0 ** math.floor(math.log10(highest))
    top = next(factor * decade for factor in (1, 2, 4, 10) if factor * decade >= highest)
    return Scale([label(top), label(top / 2), label(0)], lambda value: 100 * (1 - value / top))


# From a millisecond to what nobody waits for.
SECONDS = Scale(
    ["100 s", "10 s", "1 s", "0.1 s", "10 ms", "1 ms"],
    lambda value: 20 * (2 - math.log10(min(max(value, 0.001), 100))),
)


@dataclass(frozen=True, slots=True)
class Series:
    """name: of its colour in health.css. said: in the legend. path: SVG's `d`."""

    name: str
    said: str
    path: str
    line: bool = False


def lines(name: str, said: str, values: Sequence[float | None], scale: Scale) -> Series:
    """A flat piece for each bin that has a value, joined to its neighbours, so that a single one is seen."""
    path, drawing = [], False
    for number, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        y = _number(scale.y(value))
        path.append(f"V{y}H{number + 1}" if drawing else f"M{number} {y}H{number + 1}")
        drawing = True
    return Series(name, said, "".join(path), line=True)


def bars(names: Sequence[tuple[str, str]], values: Sequence[Sequence[float]], scale: Scale) -> list[Series]:
    """Series on top of each other, the first at the bottom. names: of each, and what is said of it."""
    tops = [100.0] * BINS
    series = []
    for (name, said), each in zip(names, values, strict=True):
        path = []
        for number, value in enumerate(each):
            if value:
                foot = tops[number]
                tops[number] = max(foot - max(100 - scale.y(value), LEAST), 0)
                path.append(f"M{number} {_number(foot)}V{_number(tops[number])}h1V{_number(foot)}Z")
        series.append(Series(name, said, "".join(path)))
    return series


def away(shown: Window) -> Element:
    """What every chart refers to as its shade, to be put into the document once."""
    runs = [(_number(shown.x(begin)), _number(shown.x(end))) for begin, end in shown.away]
    path = "".join(f"M{begin} 0H{end}V100H{begin}Z" for begin, end in runs)
    shade = element("defs", element("path", id="away", d=path))
    return element("svg", shade, class_="shared", width="0", height="0", aria_hidden="true")


def chart(title: str, unit: str, said: str, scale: Scale, series: Sequence[Series], shown: Window) -> Element:
    """said: what the chart shows, in words. unit: of its scale."""
    steps = len(scale.labels) - 1
    grid = "".join(f"M0 {_number(100 * step / steps)}H{BINS}" for step in range(steps + 1))
    now = _number(shown.x(shown.end + 1))
    plot = element(
        "svg",
        element("path", class_="grid", d=grid),
        element("use", href="#away", class_="away"),
        *(element("path", class_=f"{each.name} {'line' if each.line else 'bar'}", d=each.path) for each in series),
        element("path", class_="now", d=f"M{now} 0V100"),
        width="100%",
        height=str(PLOT),
        viewBox=f"0 0 {BINS} 100",
        preserveAspectRatio="none",
    )
    frame = element(
        "svg", plot, *_clock(shown), class_="frame", height=str(FRAME), role="img", aria_label=f"{title}: {said}"
    )
    legend = element("ul", *(element("li", each.said, class_=each.name) for each in series), class_="legend")
    return element(
        "figure",
        element("h2", title, " ", element("small", unit)),
        element("p", said),
        legend,
        element(
            "div",
            element("ol", *(element("li", label) for label in scale.labels), class_="scale", aria_hidden="true"),
            frame,
            class_="chart",
        ),
    )


def _clock(shown: Window) -> list[Element]:
    """Full hours below the drawing, and "now"."""
    labels = []
    hour = math.ceil(shown.begin / 60)
    while 60 * hour < shown.end:
        place = (60 * hour - shown.begin) / MINUTES
        if hour % LABEL_EVERY == 0 and place < NOW:
            fits = hour % (2 * LABEL_EVERY) == 0 and 0.05 < place < NARROW_NOW
            labels.append(_label(clock(3600 * hour), place, "hour" if fits else "hour wide"))
        hour += 1
    return [*labels, _label("now", 1, "present")]


def _label(text: str, place: float, name: str) -> Element:
    return element("text", text, x=f"{100 * place:.2f}%", y=str(FRAME - 8), class_=name)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
