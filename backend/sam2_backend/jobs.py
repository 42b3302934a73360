"""How far jobs are; those of `samstudio masks` tell it in their own requests, and no project is looked into for that.

What is being prewarmed is shown beside them, in the same words.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sam2_backend.problems import Problem

# A job asks again within a minute or so; one that was silent for longer has ended, or its process has.
SILENT_SECONDS = 180.0
MOST = 20
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ToldJob:
    """Tasks, in prewarming's words: done + failed of the total are over. rate: tasks a second."""

    total: int
    done: int
    failed: int
    rate: float
    at: float

    @property
    def left(self) -> int:
        return max(self.total - self.done - self.failed, 0)

    def described(self, name: str) -> dict[str, object]:
        """For /status. left_seconds: at this rate, None where there is none."""
        return {
            "name": name,
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "rate": self.rate,
            "left_seconds": round(self.left / self.rate, 1) if self.rate > 0 else None,
        }


class Jobs:
    """Used from the event loop only. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: OrderedDict[str, ToldJob] = OrderedDict()

    def tell(self, told: object) -> None:
        """What came with a request: {"name", "total", "done", "failed", "rate"}, or None. Raises Problem (400).

        "ended": it goes no further, whatever is left.
        """
        if told is None:
            return
        if not isinstance(told, Mapping) or not _is_usable(told):
            raise Problem(400, "request", '"job" is {"name", "total", "done", "failed", "rate"} or null.')
        total, done, failed = (int(told[word]) for word in ("total", "done", "failed"))
        job = ToldJob(total, done, failed, float(told["rate"]), self._clock())
        self._told.pop(str(told["name"]), None)
        if job.left and not told.get("ended"):
            self._told[str(told["name"])] = job
        while len(self._told) > MOST:
            self._told.popitem(last=False)

    def running(self) -> dict[str, ToldJob]:
        """By name, the one that told something last at the end."""
        oldest = self._clock() - SILENT_SECONDS
        for name in [name for name, job in self._told.items() if job.at < oldest]:
            del self._told[name]
        return dict(self._told)


def _is_usable(told: Mapping[str, Any]) -> bool:
    counts = [told.get(word) for word in ("total", "done", "failed")]
    rate = told.get("rate")
    return (
        isinstance(told.get("name"), str)
        and NAME.fullmatch(told["name"]) is not None
        and all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts)
        and isinstance(rate, int | float)
        and math.isfinite(rate)
        and rate >= 0
    )
