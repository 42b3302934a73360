"""The one place where work is ordered: a claim says how urgent it is, and every queue takes the most urgent next.

A claim lives as long as its work does, from the fetch to the device, and can be raised at any stage.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable

_arrivals = itertools.count()


class Urgency(enum.IntEnum):
    """A click; what clicks would give; a task that was just opened; a project that is being prewarmed."""

    CLICK = 0
    PREVIEW = 1
    OPENED = 2
    PREWARM = 3


class Claim:
    """urgency: of the most urgent of those who wait for this work. Raised from the event loop, read anywhere."""

    def __init__(self, urgency: Urgency) -> None:
        self.urgency = urgency
        self._arrival = next(_arrivals)
        self._watchers: list[Callable[[Urgency], None]] = []

    @property
    def rank(self) -> tuple[int, int]:
        """Smaller goes first; first come, first served among equals, since they are that urgent."""
        return self.urgency, self._arrival

    def raise_to(self, urgency: Urgency) -> None:
        if urgency < self.urgency:
            self._arrival = next(_arrivals)
            self.urgency = urgency
            for watcher in self._watchers:
                watcher(urgency)

    def on_raise(self, watcher: Callable[[Urgency], None]) -> None:
        """Called with the new urgency whenever it is raised."""
        self._watchers.append(watcher)
