"""Images prepared before anybody clicks: an opened task's, the next ones', a whole project's. Clicks come first."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sam2_backend.images.sources import Source
from sam2_backend.jobs import ToldJob
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem, ProblemLog
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.embeddings import Embeddings
from sam2_backend.serving.gate import ClickGate
from sam2_backend.settings import Limits

log = logging.getLogger(__name__)
# Tasks that are looked up between two turns of the event loop, which has clicks and /health to answer.
BREATH = 50
MOST_PROJECTS = 200


@dataclass(slots=True)
class Progress:
    """Of one project since nothing of it was waiting; done + failed + pending is the total at any moment.

    failed: images, by identity, with the reason. done_ever, failed_ever, errors (the last few): since the start.
    """

    pending: int = 0
    done: int = 0
    failed: OrderedDict[str, str] = field(default_factory=OrderedDict)
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    done_ever: int = 0
    failed_ever: int = 0
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=10))

    @property
    def total(self) -> int:
        return self.done + self.pending + len(self.failed)

    def restart(self) -> None:
        self.done, self.begun, self.ended = 0, time.monotonic(), 0.0
        self.failed.clear()

    @property
    def rate(self) -> float:
        """Images a second."""
        elapsed = (self.ended or time.monotonic()) - self.begun
        return round(self.done / elapsed, 3) if elapsed > 0 else 0.0

    def as_dict(self) -> dict[str, object]:
        return {
            "total": self.total,
            "done": self.done,
            "failed": len(self.failed),
            "rate": self.rate,
            "errors": list(self.errors),
            "since_start": {"done": self.done_ever, "failed": self.failed_ever},
        }


class Prewarmer:
    """Used from the event loop only."""

    def __init__(
        self, embeddings: Embeddings, limits: Limits, metrics: Metrics, problems: ProblemLog, gate: ClickGate
    ) -> None:
        self._embeddings = embeddings
        self._limits = limits
        self._metrics = metrics
        self._problems = problems
        self._gate = gate
        self._waiting: OrderedDict[str, tuple[str, Source]] = OrderedDict()
        self._progress: OrderedDict[str, Progress] = OrderedDict()
        self._opened: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._pumps: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._pumps = [asyncio.create_task(self._pump()) for _ in range(self._embeddings.ahead)]

    async def stop(self) -> None:
        running = [*self._pumps, *self._opened.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def opened(self, project: str, sources: Iterator[Source], *, batch: bool) -> None:
        """An annotator looks at a task: its images next. Many tasks at once are a batch, and wait like one."""
        if batch:
            self._start("batch " + secrets.token_hex(8), self._add_quietly(project, sources))
            return
        for source in sources:
            if source.identity not in self._opened and len(self._opened) < self._limits.interactive:
                self._start(source.identity, self._keep_opened(source))

    async def add(self, project: str, sources: Iterable[Source]) -> tuple[int, int]:
        """Queues images; how many are new, and how many were ready or waiting already.

        Raises Problem (503) at the limit of waiting images; those before it stay queued.
        """
        progress = self._of(project)
        accepted = already = 0
        for number, source in enumerate(sources):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            known = await self._embeddings.known(source)
            if known or source.identity in self._waiting:
                progress.failed.pop(source.identity, None)
                already += 1
            elif len(self._waiting) >= self._limits.prewarm_tasks:
                raise Problem(
                    503,
                    "prewarm",
                    f"{self._limits.prewarm_tasks} images wait to be prewarmed already, the limit: try again later.",
                    retry_after=60,
                )
            else:
                self._queue(project, progress, source)
                accepted += 1
        return accepted, already

    async def add_first(self, project: str, sources: Iterable[Source]) -> None:
        """Queues images before all that wait, in this order; at the limit of waiting images the others stay out."""
        unknown = [source for source in sources if not await self._embeddings.known(source)]
        room = max(self._limits.prewarm_tasks - len(self._waiting), 0)
        new = [source.identity for source in unknown if source.identity not in self._waiting][:room]
        for source in reversed(unknown):
            if source.identity in new:
                self._queue(project, self._of(project), source)
            if source.identity in self._waiting:
                self._waiting.move_to_end(source.identity, last=False)

    def _queue(self, project: str, progress: Progress, source: Source) -> None:
        if not progress.pending:
            progress.restart()
        progress.failed.pop(source.identity, None)
        progress.pending += 1
        self._waiting[source.identity] = (project, source)
        self._wake.set()

    def progress(self, project: str) -> dict[str, object]:
        known = self._progress.get(project)
        return (known or Progress()).as_dict()

    def jobs(self) -> dict[str, ToldJob]:
        """Projects of which images wait, by the name under which they are shown."""
        return {
            f"prewarm-{project}": ToldJob(each.total, each.done, len(each.failed), each.rate, time.monotonic())
            for project, each in self._progress.items()
            if each.pending
        }

    def _of(self, project: str) -> Progress:
        progress = self._progress.setdefault(project, Progress())
        self._progress.move_to_end(project)
        for idle in [name for name, known in self._progress.items() if not known.pending and name != project]:
            if len(self._progress) <= MOST_PROJECTS:
                break
            del self._progress[idle]
        return progress

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._opened[name] = task
        task.add_done_callback(functools.partial(self._ended, name))

    def _ended(self, name: str, _: asyncio.Task[None]) -> None:
        self._opened.pop(name, None)

    async def _add_quietly(self, project: str, sources: Iterator[Source]) -> None:
        try:
            await self.add(project, sources)
        except Problem as problem:
            self._problems.report(problem)

    async def _keep_opened(self, source: Source) -> None:
        try:
            await self._embeddings.keep(source, Urgency.OPENED)
        except Problem as problem:
            self._problems.report(problem)
        except Exception:
            log.exception("An opened task's image could not be prepared")

    async def _pump(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            async with self._turn:
                await self._gate.pause()
                if not self._waiting:
                    continue
                _, (project, source) = self._waiting.popitem(last=False)
            await self._keep_waiting(self._of(project), source)

    async def _keep_waiting(self, progress: Progress, source: Source) -> None:
        failure = ""
        try:
            made = await self._embeddings.keep(source, Urgency.PREWARM)
            self._metrics.prewarmed.labels("encoded" if made else "known").inc()
        except Problem as problem:
            failure = problem.message
            self._problems.report(problem)
        except Exception as error:
            failure = f"{type(error).__name__}: see the backend's log"
            log.exception("An image could not be prewarmed")
        progress.pending -= 1
        if failure:
            self._metrics.prewarmed.labels("failed").inc()
            progress.failed[source.identity] = failure
            progress.failed_ever += 1
            progress.errors.append(failure)
        else:
            progress.done += 1
            progress.done_ever += 1
        if not progress.pending:
            progress.ended = time.monotonic()
