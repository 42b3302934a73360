"""The page at /ui/health: what is drawn of a day, what is said of it, and that nothing in it is taken for HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from image_host import ImageHost, picture
from running import Running, point
from sam2_backend.history.day import MINUTES
from sam2_backend.history.minute import BUCKETS, Minute
from sam2_backend.http.page.health import curves
from sam2_backend.http.page.health.page import page
from sam2_backend.http.page.health.verdict import Seen, verdict

StartServer = Callable[..., Running]
GB = 10**9
#: 2026-03-08 00:07 UTC, so that the day before began on another date
NOW = 1_772_928_420
MINUTE = NOW // 60
FAST = (0,) * 7 + (1,) + (0,) * (BUCKETS - 8)  # 30 to 50 ms
SLOW = (0,) * 14 + (1,) + (0,) * (BUCKETS - 15)  # 3.2 to 6.4 s
TITLES = ["Clicks", "Time of a click", "Errors", "Waiting or being worked on", "Memory"]

STATUS: dict[str, Any] = {
    "state": "ready",
    "reason": "",
    "model": {"checkpoint": "sam2.1_hiera_tiny.pt", "demo": False},
    "engine": {"name": "torch", "device": "cuda:0 NVIDIA L4", "precision": "bf16", "asked": "auto", "refused": ""},
    "versions": {"sam2_backend": "0.1.0"},
    "cache": {"memory_entries": 3, "memory_bytes": 33 * 10**6, "disk_entries": 1200, "disk_bytes": 10 * GB},
    "queue": {"depth": 0, "limit": 32, "prewarm": 0},
    "jobs": [],
    "last_click": {"at": "2026-03-08T00:02:20Z", "milliseconds": {"total": 43.2}, "cache": "memory"},
    "last_errors": [],
}


def minute(before: int, **more: Any) -> Minute:
    """One in which all was well; before: minutes ago."""
    return Minute(**({"at": MINUTE - before, "ready": True, "memory": GB} | more))


def day(*except_before: int, since: int = MINUTES) -> list[Minute]:
    """All of the minutes since then but these, a click in each."""
    return [
        minute(before, prepared=1, seconds=FAST) for before in range(since - 1, -1, -1) if before not in except_before
    ]


def seen(minutes: list[Minute], free: int | None = 50 * GB, **status: Any) -> Seen:
    return Seen(NOW, NOW - 7200, STATUS | status, minutes, free, None if free is None else 100 * GB)


def shown(of: Seen) -> str:
    return page(of, 20 * GB).decode()


class Words(HTMLParser):
    """The words of a page, its elements, and the attributes of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def words(text: str) -> str:
    return " ".join(" ".join(Words(text).said).split())


@pytest.mark.parametrize(
    ("gone", "runs", "of"),
    [
        ([], [], 0),
        ([10], [(10, 10)], 1),
        ([*range(600, 660), 3], [(659, 600), (3, 3)], 61),
        (range(1430, 1440), [], 0),  # before the first minute that is known
        (range(5, 1439), [(1437, 5)], 1433),  # since the window's first minute
    ],
)
def test_minutes_that_were_not_noted_are_gaps(gone: list[int], runs: list[tuple[int, int]], of: int) -> None:
    told = curves.window(day(*gone, since=1440), MINUTE)
    # The window begins with a bin, so the oldest minutes of a day may be before it.
    assert told.away == [(MINUTE - first, MINUTE - last + 1) for first, last in runs]
    assert told.minutes_away == of


def test_a_minute_without_a_model_is_a_gap_as_well() -> None:
    minutes = [each if each.at != MINUTE - 20 else minute(20, ready=False) for each in day(21)]
    assert curves.window(minutes, MINUTE).away == [(MINUTE - 21, MINUTE - 19)]


def test_every_minute_is_in_one_bin() -> None:
    for now in range(MINUTE, MINUTE + 5):
        minutes = [Minute(at=at, prepared=1, ready=True) for at in range(now - MINUTES + 1, now + 1)]
        told = curves.window(minutes, now)
        assert told.begin % curves.BIN == 0
        whole = [each.prepared if each else 0 for each in told.bins]
        assert whole[:-1] == [curves.BIN] * (curves.BINS - 1)
        assert whole[-1] == now % curves.BIN + 1


def test_a_scale_ends_at_a_round_number_whose_half_is_one() -> None:
    labels = {most: curves.linear([most], lambda value: f"{value:g}").labels for most in (0, 2, 3, 11, 41, 99, 101)}
    assert labels == {
        0: ["2", "1", "0"],
        2: ["2", "1", "0"],
        3: ["4", "2", "0"],
        11: ["20", "10", "0"],
        41: ["100", "50", "0"],
        99: ["100", "50", "0"],
        101: ["200", "100", "0"],
    }
    assert [round(curves.SECONDS.y(each)) for each in (0, 0.001, 0.1, 1, 100, 1000)] == [100, 100, 60, 40, 0, 0]


def test_a_curve_ends_where_nothing_is_known_and_a_single_value_is_seen() -> None:
    scale = curves.linear([4], str)
    assert curves.lines("x", "", [1, 2, None, 4, None, None], scale).path == "M0 75H1V50H2M3 0H4"
    low, high = curves.bars([("x", ""), ("y", "")], [[1, 0, 4], [2, 0, 0.001]], scale)
    assert (low.path, high.path) == ("M0 100V75h1V100ZM2 100V0h1V100Z", "M0 75V25h1V75ZM2 0V0h1V0Z")
    (bar,) = curves.bars([("x", "")], [[1]], curves.linear([10**6], str))
    assert bar.path == "M0 100V98h1V100Z"


def test_before_anything_is_known_the_page_says_so() -> None:
    nothing = {"model": None, "engine": None, "cache": None, "last_click": None}
    text = words(shown(seen([], state="loading", reason="", **nothing)))
    assert "The model is still loading." in text
    assert "Nothing yet" in text
    assert "No click got a mask." in text
    assert "None since the process began." in text


def test_a_day_is_told_in_words_units_and_the_clock() -> None:
    text = shown(seen(day(*range(300, 342)), free=31 * GB))
    told = words(text)
    for each in (
        "1,398 clicks got a mask, 100 % of them found their image encoded.",
        "Half of the clicks took 40 ms at most, 19 of 20 took 49 ms at most.",
        "for 42 min no click could get a mask",
        "cuda:0 NVIDIA L4",
        "bf16 by torch (asked for: auto)",
        "2 h 0 min, since 2026-03-07 22:07 UTC",
        "4 min ago, 43 ms, its image was in memory",
        "1,200 (10.0 GB of at most 20.0 GB)",
        "31.0 GB of 100.0 GB free",
        "Ready. 15 clicks in the last 15 minutes got a mask, half of them within 40 ms.",
    ):
        assert each in told
    found = Words(text)
    named = [name for tag, given in found.elements if tag == "svg" and (name := given.get("aria-label"))]
    assert [name.partition(":")[0] for name in named] == TITLES
    hours = re.findall(r'<text x="([\d.]+)%"[^>]*>(\d\d:\d\d)<', text)
    assert [hour for _, hour in hours] == ["03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"] * len(TITLES)
    assert float(hours[0][0]) == pytest.approx(100 * (MINUTES - 21 * 60 - 10) / MINUTES, abs=0.05)


HOSTILE = "</title><script>alert(1)</script><img src=x onerror=\"alert('2')\"> & ' \x00"


def test_nothing_that_is_told_becomes_an_element() -> None:
    said = {
        "state": "failed",
        "reason": HOSTILE,
        "model": {"checkpoint": HOSTILE, "demo": True},
        "engine": dict.fromkeys(STATUS["engine"], HOSTILE),
        "jobs": [{"name": HOSTILE, "total": 2, "done": 1, "failed": 0}],
        "last_errors": [{"at": "2026-03-08T00:02:20Z", "where": HOSTILE, "message": HOSTILE}],
    }
    text = shown(seen(day(), **said))
    error = {"at": "2026-03-08T00:02:20Z", "where": "fetch", "message": "No image came."}
    honest = {name for name, _ in Words(shown(seen(day(), last_errors=[error]))).elements}
    assert {name for name, _ in Words(text).elements} == honest
    assert not honest & {"script", "img", "style"}
    assert not [name for _, given in Words(text).elements for name in given if name == "style" or name[:2] == "on"]
    assert text.count(html.escape(HOSTILE, quote=False)) >= 7


def test_the_page_stays_small_on_the_worst_of_days() -> None:
    """Every second minute away, every figure another, and long errors."""
    minutes = [
        minute(
            before,
            **dict.fromkeys(("prepared", "unprepared", "failed", "refused", "clicking"), 7919 * before % 10**9),
            seconds=tuple(before * number for number in range(BUCKETS)),
            device_memory=10**12 - before,
        )
        for before in range(MINUTES - 1, -1, -2)
    ]
    errors = [{"at": "2026-03-08T00:02:20Z", "where": "fetch", "message": "x" * 100_000}] * 20
    assert len(shown(seen(minutes, last_errors=errors)).encode()) < 150_000


@pytest.mark.parametrize(
    ("level", "words_of_it", "of"),
    [
        ("good", "1 click in the last 15 minutes got a mask", seen([minute(3, prepared=1, seconds=FAST)])),
        ("quiet", "nothing is known of clicks since 00:02 UTC", seen([minute(30, prepared=1, seconds=FAST)])),
        ("quiet", "nothing is known of clicks since the process began", seen([], last_click=None)),
        ("bad", "No click gets a mask: CUDA error", seen(day(), state="failed", reason="CUDA error")),
        ("doubtful", "still loading", seen([], state="loading")),
        (
            "doubtful",
            "2 answers were errors in the last 15 minutes",
            seen([minute(1, failed=2), minute(0, prepared=1)]),
        ),
        ("bad", "No click got a mask in the last 15 minutes. 2 answers were errors", seen([minute(1, failed=2)])),
        ("quiet", "Ready", seen([minute(16, failed=2)])),
        ("quiet", "Ready", seen([minute(1, refused=2)])),
        ("doubtful", "Clicks are slow: half of them took more than 4.8 s", seen([minute(1, prepared=1, seconds=SLOW)])),
        (
            "doubtful",
            "A slower precision is served: bf16 is refused",
            seen(day(), engine=STATUS["engine"] | {"refused": "bf16 is refused"}),
        ),
        ("doubtful", "nearly full: 9.0 GB of 100.0 GB", seen(day(), free=9 * GB)),
        ("good", "15 clicks", seen(day(), free=10 * GB)),
        ("doubtful", "cannot be looked at", seen(day(), free=None)),
    ],
)
def test_what_is_said_first(level: str, words_of_it: str, of: Seen) -> None:
    told = verdict(of)
    assert (told.level, words_of_it in " ".join([told.said, *told.look_at])) == (level, True), told
    assert f'class="verdict {level}"' in shown(of)


def test_the_running_server_shows_clicks_and_errors_at_once(server: Running, image_host: ImageHost) -> None:
    image_host.files["/health.png"] = picture((9, 8, 7))
    assert server.click(f"{image_host.url}/health.png", *point(50, 50)).status_code == 200
    assert server.click(f"{image_host.url}/not-there.png", *point(50, 50)).status_code != 200
    answer = server.get("/ui/health")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert len(answer.content) < 150_000
    told = words(answer.text)
    assert "1 click in the last 15 minutes got a mask" in told
    assert "1 answer was an error in the last 15 minutes" in told
    assert "1 image was encoded" in told
    assert "disc.pt" in told
    assert "UTC, fetch" in told
    style = server.get("/ui/health/health.css")
    assert style.headers["Content-Type"].startswith("text/css")


def test_the_day_outlives_the_process(start_server: StartServer, image_host: ImageHost) -> None:
    image_host.files["/outlives.png"] = picture((4, 4, 2))
    for clicks in ("1 click", "2 clicks"):
        server = start_server()
        server.click(f"{image_host.url}/outlives.png", *point(50, 50))
        assert f"{clicks} got a mask" in words(server.get("/ui/health").text)
        assert server.stop() == 0
    server = start_server(UI="false")
    assert server.get("/ui/health").status_code == 404
