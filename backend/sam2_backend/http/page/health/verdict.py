"""What somebody who opens the page at three in the morning has to know first, in one sentence, and what to look at."""

from __future__ import annotations

import calendar
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sam2_backend.history.minute import Minute
from sam2_backend.http.page.health.words import clock, many, seconds, size

RECENT = 15  # minutes
# As alerts ClickSlow and DiskNearlyFull of role monitoring have them.
SLOW_SECONDS = 2.0
LEAST_FREE = 0.1
# Nothing that was not looked at is good: without clicks it is quiet.
Level = Literal["good", "quiet", "doubtful", "bad"]


@dataclass(frozen=True, slots=True)
class Seen:
    """now, started: seconds since 1970, of this moment and of the process's begin. status: the body of /status.

    day: the last day's minutes, oldest first. free, disk: bytes of the disk that the cache is on; None where it cannot
    be looked at.
    """

    now: float
    started: float
    status: Mapping[str, Any]
    day: Sequence[Minute]
    free: int | None
    disk: int | None

    @property
    def minute(self) -> int:
        return int(self.now) // 60

    def last(self, minutes: int) -> Minute:
        """What was noted in these last minutes, as one."""
        recent = [each for each in self.day if each.at > self.minute - minutes]
        return functools.reduce(Minute.and_then, recent, Minute(at=self.minute))


@dataclass(frozen=True, slots=True)
class Verdict:
    level: Level
    said: str
    look_at: Sequence[str]


def verdict(seen: Seen) -> Verdict:
    if seen.status["state"] == "loading":
        return Verdict("doubtful", "The model is still loading. Clicks wait for it.", _look_at(seen))
    if seen.status["state"] != "ready":
        return Verdict("bad", f"No click gets a mask: {seen.status['reason']}", _look_at(seen))
    recent, look_at = seen.last(RECENT), _look_at(seen)
    if recent.failed and not recent.clicks:
        return Verdict("bad", f"No click got a mask in the last {RECENT} minutes.", look_at)
    if recent.clicks:
        clicks = f"{many(recent.clicks, 'click')} in the last {RECENT} minutes got a mask"
        said = f"{clicks}, half of them within {seconds(recent.quantile(0.5) or 0)}."
    else:
        said = f"Nobody clicked in the last {RECENT} minutes, so that nothing is known of clicks {_since(seen)}."
    if look_at:
        return Verdict("doubtful", f"Ready, with something to look at. {said}", look_at)
    return Verdict("good" if recent.clicks else "quiet", f"Ready. {said}", look_at)


def _since(seen: Seen) -> str:
    last = seen.status["last_click"]
    if last is None:
        return "since the process began"
    return f"since {clock(moment(last['at']))} UTC"


def moment(at: str) -> float:
    """Seconds since 1970 of what `problems.now` gives."""
    return calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))


def _look_at(seen: Seen) -> list[str]:
    recent, found = seen.last(RECENT), []
    if recent.failed:
        answers = many(recent.failed, "answer was an error", "answers were errors")
        found.append(f"{answers} in the last {RECENT} minutes: see Last errors.")
    median = recent.quantile(0.5)
    if median is not None and median > SLOW_SECONDS:
        found.append(f"Clicks are slow: half of them took more than {seconds(median)} in the last {RECENT} minutes.")
    if seen.status["engine"] and seen.status["engine"]["refused"]:
        found.append(f"A slower precision is served: {seen.status['engine']['refused']}")
    if seen.free is None or seen.disk is None:
        found.append(
            "The folder of the cache cannot be looked at: after a restart all images have to be encoded again."
        )
    elif seen.free < LEAST_FREE * seen.disk:
        found.append(f"The disk of the cache is nearly full: {size(seen.free)} of {size(seen.disk)} are free.")
    return found
