"""Looks at the metrics once a minute."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import msgspec

from sam2_backend.history.day import Day
from sam2_backend.history.file import HistoryFile
from sam2_backend.history.minute import Minute
from sam2_backend.history.reading import reading
from sam2_backend.metrics import Metrics

log = logging.getLogger(__name__)


class Recorder:
    """refresh: brings the gauges up to date. clock, started: seconds since 1970. Used from the event loop only."""

    def __init__(
        self, metrics: Metrics, refresh: Callable[[], None], file: HistoryFile, clock: Callable[[], float] = time.time
    ) -> None:
        self._metrics = metrics
        self._refresh = refresh
        self._file = file
        self._clock = clock
        self._day = Day()
        self._noted = Minute(at=0)
        self._ending = asyncio.Event()
        self.started = clock()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """After the last request was answered: what is left of the minute is noted."""
        self._ending.set()
        await self._task

    def day(self) -> list[Minute]:
        """The last day up to now, oldest first; a minute in which the process did not run is not there."""
        now = self._minute()
        day = Day()
        for minute in [*self._day.minutes(), self._look(now).since(self._noted)]:
            day.add(minute, now)
        return day.minutes()

    async def _run(self) -> None:
        now = self._minute()
        for minute in await asyncio.to_thread(self._file.read):
            self._day.add(minute, now)
        await self._note(now, starts=1)
        while not self._ending.is_set():
            seconds = self._clock()
            at = int(seconds) // 60
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 60 * (at + 1) - seconds)
            await self._note(at)

    async def _note(self, at: int, starts: int = 0) -> None:
        """A minute that cannot be noted is missing, and the next one is noted."""
        try:
            look = self._look(at)
            minute = msgspec.structs.replace(look.since(self._noted), starts=starts)
            self._noted = look
            self._day.add(minute, at)
            await asyncio.to_thread(self._file.add, minute, self._day.minutes())
        except Exception:
            log.exception("A minute could not be noted")

    def _look(self, at: int) -> Minute:
        self._refresh()
        return reading(self._metrics.registry, at)

    def _minute(self) -> int:
        return int(self._clock()) // 60
