"""Store, queue and prewarmer as one machine, with the fetcher and the engine under control."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from image_host import picture
from numpy.typing import NDArray
from sam2_backend.images.fetch import Fetched
from sam2_backend.images.sources import Source
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem, ProblemLog
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.device import Device
from sam2_backend.serving.embeddings import Embeddings
from sam2_backend.serving.gate import ClickGate
from sam2_backend.serving.prewarm import Prewarmer
from sam2_backend.settings import from_environment
from sam2_backend.steps import Steps
from stand_in_engine import DiscEngine, DiscState

IMAGES = 40
LIMIT = 6  # MAX_PREWARM_TASKS
BROKEN = 7  # every image whose number is a multiple of it is no image


class HeldEngine(DiscEngine):
    """Encodes only when it is let; `started` has the images (their red value) in the order they were begun."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[int] = []
        self.finished = 0
        self.holds = False
        self._let = threading.Semaphore(0)

    def encode_pixels(self, image: NDArray[np.float32]) -> DiscState:
        self.started.append(int(image[0, 0, 0]))
        self.holds = True
        self._let.acquire()
        self.holds = False
        self.finished += 1
        return super().encode_pixels(image)

    def let(self, count: int = 1) -> None:
        self._let.release(count)


class Addresses:
    """A fetcher; `content` by address. Delivers at once."""

    def __init__(self) -> None:
        self.content = {n: n for n in range(IMAGES)}

    async def fetch(self, source: Source, validators: tuple[tuple[str, str], ...] = ()) -> Fetched | None:
        number = int(source.identity)
        if number and number % BROKEN == 0:
            raise Problem(502, "fetch", "There is no such image.")
        colour = self.content[number]
        if validators == (("If-None-Match", str(colour)),):
            return None
        return Fetched(picture((colour, 0, 0), size=(8, 8)), (("If-None-Match", str(colour)),))


class CountingExecutor(ThreadPoolExecutor):
    """Knows whether it is idle."""

    def __init__(self) -> None:
        super().__init__(8)
        self.pending = 0
        self._lock = threading.Lock()

    def submit(self, *work: Any, **options: Any) -> Future[Any]:
        with self._lock:
            self.pending += 1
        future = super().submit(*work, **options)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self.pending -= 1


class Bench:
    """A loop of its own with everything between the request and the engine."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self._executor = CountingExecutor()
        self.loop.set_default_executor(self._executor)
        self.engine, self.addresses = HeldEngine(), Addresses()
        chosen = from_environment({"CACHE_DIR": self._folder.name, "MAX_PREWARM_TASKS": str(LIMIT)})
        metrics = Metrics()
        self.device = Device(self.engine, overlaps=True, lost=print)
        self.embeddings = Embeddings(self.engine, self.device, chosen, self.addresses, metrics)  # type: ignore[arg-type]
        self.embeddings.disk.open()
        self.gate = ClickGate(32, 60)
        self.prewarmer = Prewarmer(self.embeddings, chosen.limits, metrics, ProblemLog(metrics), self.gate)
        self.run(self._start())
        self.settle()

    async def _start(self) -> None:
        self.prewarmer.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def settle(self) -> None:
        """Until all that can happen without the engine has happened."""
        self.run(self._settled())

    async def _settled(self) -> None:
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0.001)
            waits = self.device.depth == 0 or self.engine.holds
            quiet = quiet + 1 if waits and not self._executor.pending else 0

    def encode_one(self) -> None:
        """Lets the engine finish the encode that it holds."""
        finished = self.engine.finished
        self.engine.let()
        while self.engine.finished == finished:
            time.sleep(0.0005)
        self.settle()

    def finish(self) -> None:
        """Lets the engine work off everything."""
        deadline = time.monotonic() + 60
        while True:
            self.settle()
            if self.engine.holds:
                self.encode_one()
            elif not self.prewarmer.depth and not self.device.depth:
                return
            assert time.monotonic() < deadline, "work is left that nothing moves"

    def click(self, number: int) -> asyncio.Task[Any]:
        async def clicked() -> Any:
            async with self.gate.enter():
                return await self.embeddings.get(Source(str(number)), Urgency.CLICK, Steps())

        task = self.loop.create_task(clicked())
        self.settle()
        return task

    def open(self, numbers: range) -> None:
        async def opened() -> None:
            for number in numbers:
                self.prewarmer.opened("1", iter([Source(str(number))]), batch=False)

        self.run(opened())
        self.settle()

    def prewarm(self, *batches: range) -> list[Any]:
        async def all_of_them() -> list[Any]:
            calls = [self.prewarmer.add("1", [Source(str(number)) for number in batch]) for batch in batches]
            return await asyncio.gather(*calls, return_exceptions=True)

        answers: list[Any] = self.run(all_of_them())
        self.settle()
        return answers

    async def _let_go(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def close(self) -> None:
        self.engine.let(10_000)
        self.run(self.prewarmer.stop())
        self.run(self.embeddings.close())
        self.loop.run_until_complete(self._let_go())
        self.device.close()
        self._executor.shutdown()
        self.loop.close()
        self._folder.cleanup()


class Serving(RuleBasedStateMachine):
    """Clicks, opened tasks, prewarmed projects and replaced images in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.clicks: list[tuple[int, int, asyncio.Task[Any]]] = []  # content, encodes begun before it, task
        self.asked: set[int] = set()

    @rule(number=st.integers(0, IMAGES - 1))
    def click(self, number: int) -> None:
        before = len(self.bench.engine.started)
        self.clicks.append((self.bench.addresses.content[number], before, self.bench.click(number)))

    @rule(first=st.integers(0, IMAGES - 12), count=st.integers(1, 12))
    def open(self, first: int, count: int) -> None:
        self.bench.open(range(first, first + count))

    @rule(first=st.integers(0, IMAGES - 10), count=st.integers(1, 10), second=st.integers(0, IMAGES - 10))
    def prewarm(self, first: int, count: int, second: int) -> None:
        """Two callers at once; more than the limit is refused, and what was taken is done all the same."""
        self.bench.prewarm(range(first, first + count), range(second, second + 3))
        self.asked |= {number for number in range(first, first + count) if number and number % BROKEN == 0}

    @precondition(lambda self: self.bench.engine.holds)
    @rule()
    def encode(self) -> None:
        self.bench.encode_one()

    @invariant()
    def clicks_come_first(self) -> None:
        """After a click at most what runs is encoded before it, and the clicks that came earlier."""
        started = self.bench.engine.started
        for position, (content, before, task) in enumerate(self.clicks):
            if not task.done() and content not in started:
                others = [one for one in started[before:] if one not in {c for c, _, _ in self.clicks[:position]}]
                assert len(others) <= 1, f"encoded before the click: {others}"

    @invariant()
    def progress_is_right(self) -> None:
        progress = self.bench.prewarmer.progress("1")
        assert progress["done"] + progress["failed"] <= progress["total"]  # type: ignore[operator]

    def teardown(self) -> None:
        try:
            self.bench.finish()
            progress = self.bench.prewarmer.progress("1")
            assert progress["done"] + progress["failed"] == progress["total"]  # type: ignore[operator]
            assert all(task.done() for _, _, task in self.clicks)
        finally:
            self.bench.close()


TestServing = Serving.TestCase
TestServing.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


def with_bench(test: Callable[[Bench], None]) -> None:
    bench = Bench()
    try:
        test(bench)
    finally:
        bench.close()


def test_a_click_overtakes_tasks_that_were_just_opened() -> None:
    def test(bench: Bench) -> None:
        bench.open(range(1, 31))
        bench.click(39)
        bench.encode_one()
        assert bench.engine.started.index(39) == 1

    with_bench(test)


def test_a_click_on_a_task_that_waits_raises_it() -> None:
    def test(bench: Bench) -> None:
        bench.open(range(1, 31))
        bench.click(30)
        bench.encode_one()
        assert bench.engine.started.index(30) == 1

    with_bench(test)


def test_more_than_the_limit_is_refused_and_the_rest_is_done() -> None:
    def test(bench: Bench) -> None:
        (answer,) = bench.prewarm(range(20, 35))
        assert isinstance(answer, Problem)
        assert answer.status == 503
        bench.finish()
        assert bench.prewarmer.progress("1")["done"] == LIMIT - 1  # 21 is no image
        assert bench.prewarm(range(36, 38)) == [(2, 0)]

    with_bench(test)


def test_failures_are_told_after_the_queue_was_empty() -> None:
    def test(bench: Bench) -> None:
        bench.prewarm(range(13, 16))
        bench.finish()
        bench.prewarm(range(16, 18))
        bench.finish()
        progress = bench.prewarmer.progress("1")
        assert (progress["done"], progress["failed"], progress["total"]) == (2, 0, 2)
        assert progress["since_start"] == {"done": 4, "failed": 1}

    with_bench(test)


def test_new_content_is_encoded_once() -> None:
    """The address is remembered with what it had; its embedding is gone, and the file is another one by now."""

    def test(bench: Bench) -> None:
        bench.engine.let(100)
        bench.click(5)
        bench.finish()
        bench.addresses.content[5] = 200
        bench.embeddings.memory.clear()
        for path in Path(bench._folder.name).rglob("*.emb"):
            path.unlink()
        for _ in range(4):
            bench.click(5)
            bench.finish()
        assert bench.engine.started.count(200) == 1

    with_bench(test)
