"""A problem that somebody can do something about: status, one sentence, and where it came from.

Label Studio drops error bodies and keeps the HTTP reason phrase, so the sentence travels in both (see `reason.py`).
"""

from __future__ import annotations

import time
from collections import deque


class Problem(Exception):
    """An answer that is not a mask. `where` names the part of the system to look at, e.g. `fetch` or `image`."""

    def __init__(self, status: int, where: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.where = where
        self.message = message
        self.retry_after = retry_after


class LastErrors:
    """The newest problems, for `/status`; equal ones in a row count once."""

    def __init__(self, size: int = 20) -> None:
        self._entries: deque[dict[str, object]] = deque(maxlen=size)

    def add(self, where: str, message: str) -> None:
        entry: dict[str, object] = {"at": now(), "where": where, "message": message}
        if self._entries and (self._entries[-1]["where"], self._entries[-1]["message"]) == (where, message):
            self._entries[-1] = entry
        else:
            self._entries.append(entry)

    def as_list(self) -> list[dict[str, object]]:
        """Oldest first."""
        return list(self._entries)


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
