"""Images prepared before anybody clicks: a task that was opened, new tasks, a whole project. Clicks come first."""

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
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem, ProblemLog
from sam2_backend.serving.embeddings import Embeddings
from sam2_backend.serving.gate import ClickGate
from sam2_backend.serving.queue import Urgency
from sam2_backend.settings import Limits

log = logging.getLogger(__name__)
AT_ONCE = 2
# Tasks that are looked up between two turns of the event loop, which has clicks and /health to answer.
BREATH = 50
MOST_PROJECTS = 200


@dataclass(slots=True)
class Progress:
    """Of one project since its queue was last empty."""

    total: int = 0
    done: int = 0
    failed: int = 0
    begun: float = 0.0
    ended: float = 0.0
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=10))
    #: what was done and failed in the queues before this one, which a caller that hands over in batches would miss
    done_before: int = 0
    failed_before: int = 0

    def next(self) -> Progress:
        """That of the same project for a new queue."""
        return Progress(
            begun=time.monotonic(),
            errors=self.errors,
            done_before=self.done_before + self.done,
            failed_before=self.failed_before + self.failed,
        )

    def as_dict(self) -> dict[str, object]:
        """rate: images a second."""
        elapsed = (self.ended or time.monotonic()) - self.begun if self.begun else 0.0
        rate = round((self.done + self.failed) / elapsed, 3) if elapsed > 0 else 0.0
        return {
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "rate": rate,
            "errors": list(self.errors),
            "since_start": {"done": self.done_before + self.done, "failed": self.failed_before + self.failed},
        }


class Prewarmer:
    """Used from the event loop only."""

    def __init__(
        self,
        embeddings: Embeddings,
        limits: Limits,
        metrics: Metrics,
        problems: ProblemLog,
        gate: ClickGate,
    ) -> None:
        self._gate = gate
        self._embeddings = embeddings
        self._limits = limits
        self._metrics = metrics
        self._problems = problems
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
        self._pumps = [asyncio.create_task(self._pump()) for _ in range(AT_ONCE)]

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
        """Queues images; how many are new, and how many were ready or waiting already."""
        progress = self._progress.setdefault(project, Progress())
        self._progress.move_to_end(project)
        while len(self._progress) > MOST_PROJECTS:
            self._progress.popitem(last=False)
        if progress.done + progress.failed >= progress.total:
            progress = self._progress[project] = progress.next()
        accepted = already = 0
        for number, source in enumerate(sources):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if source.identity in self._waiting or self._embeddings.known(source):
                already += 1
            elif len(self._waiting) >= self._limits.prewarm_tasks:
                raise Problem(
                    503,
                    "prewarm",
                    f"{self._limits.prewarm_tasks} images wait to be prewarmed already, the limit: try again later.",
                    retry_after=60,
                )
            else:
                self._waiting[source.identity] = (project, source)
                accepted += 1
        progress.total += accepted
        self._wake.set()
        return accepted, already

    def progress(self, project: str) -> dict[str, object]:
        return self._progress.get(project, Progress()).as_dict()

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
            progress = self._progress.setdefault(project, Progress(begun=time.monotonic()))
            try:
                made = await self._embeddings.keep(source, Urgency.PREWARM)
                progress.done += 1
                self._metrics.prewarmed.labels("encoded" if made else "known").inc()
            except Problem as problem:
                progress.failed += 1
                progress.errors.append(problem.message)
                self._metrics.prewarmed.labels("failed").inc()
                self._problems.report(problem)
            except Exception as error:
                progress.failed += 1
                progress.errors.append(f"{type(error).__name__}: see the backend's log")
                log.exception("An image could not be prewarmed")
            if progress.done + progress.failed >= progress.total:
                progress.ended = time.monotonic()
