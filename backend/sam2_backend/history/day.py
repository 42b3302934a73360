"""The last day's minutes in memory."""

from __future__ import annotations

from sam2_backend.history.minute import Minute

MINUTES = 24 * 60


class Day:
    """At most MINUTES of them; one that was not noted is not there. Used from the event loop only."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}

    def add(self, minute: Minute, now: int) -> None:
        """Another part of a minute joins what is known of it. now: the minute that it is; older than a day goes."""
        known = self._minutes.get(minute.at)
        self._minutes[minute.at] = known.and_then(minute) if known else minute
        self._minutes = {at: self._minutes[at] for at in sorted(self._minutes) if now - MINUTES < at <= now}

    def minutes(self) -> list[Minute]:
        """Oldest first."""
        return list(self._minutes.values())
