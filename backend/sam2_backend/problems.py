"""A problem that somebody can do something about: status, one sentence, and where it came from.

Label Studio drops error bodies and keeps the HTTP reason phrase, so the sentence travels in both
(`http/reason_phrase.py`).
"""

from __future__ import annotations

import logging
import time
from collections import deque

from sam2_backend.logs import fields
from sam2_backend.metrics import Metrics

log = logging.getLogger(__name__)
LAST_ERRORS = 20


class Problem(Exception):
    """An answer that is not a mask. `where` names the part of the system to look at, e.g. `fetch` or `image`."""

    def __init__(self, status: int, where: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.where = where
        self.message = message
        self.retry_after = retry_after


class ProblemLog:
    """Tells a problem everywhere an admin looks: the log, `/metrics`, `last_errors` of `/status`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: deque[dict[str, object]] = deque(maxlen=LAST_ERRORS)

    def report(self, problem: Problem) -> None:
        """An address that does not exist is not among the last errors."""
        if problem.status != 404:
            self.remember(problem.where, problem.message)
        self._metrics.problems.labels(problem.where, str(problem.status)).inc()
        log.warning(problem.message, extra=fields(where=problem.where, status=problem.status))

    def remember(self, where: str, message: str) -> None:
        """For `/status` alone; equal ones in a row count once."""
        entry: dict[str, object] = {"at": now(), "where": where, "message": message}
        if self._last and (self._last[-1]["where"], self._last[-1]["message"]) == (where, message):
            self._last[-1] = entry
        else:
            self._last.append(entry)

    def last(self) -> list[dict[str, object]]:
        """Oldest first."""
        return list(self._last)


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
