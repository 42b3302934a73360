"""Store, queue and prewarmer as one machine, with the fetcher, the engine and the clock under control."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from image_host import picture
from numpy.typing import NDArray
from sam2_backend.images.fetch import Fetched
from sam2_backend.images.sources import Source
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem, ProblemLog
from sam2_backend.serving import embeddings
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.device import Device
from sam2_backend.serving.embeddings import MOST_BEHIND, Embeddings
from sam2_backend.serving.gate import ClickGate
from sam2_backend.serving.prewarm import Prewarmer
from sam2_backend.serving.slots import AHEAD, CLICKED
from sam2_backend.serving.store.disk import DiskTier
from sam2_backend.serving.store.sightings import FRESH_SECONDS, Sightings
from sam2_backend.settings import from_environment
from sam2_backend.steps import Steps
from stand_in_engine import DiscEngine, DiscState

IMAGES = 40
TURNS = 50  # of the event loop, more than any news from a thread takes to reach everybody who waits for it
LIMIT = 6  # MAX_PREWARM_TASKS
BROKEN = 7  # every image whose number is a multiple of it is no image
MOUNTED = 3  # every image whose number is a multiple of it is a mounted file


def is_broken(number: int) -> bool:
    return number > 0 and number % BROKEN == 0


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
    """A fetcher; `content` by address. Delivers at once. asked: addresses, in the order they were fetched."""

    def __init__(self, folder: Path) -> None:
        self.content: dict[int, int] = {}
        self.asked: list[int] = []
        self._folder = folder
        for number in range(IMAGES):
            self.put(number, number)

    def put(self, number: int, colour: int) -> None:
        self.content[number] = colour
        if number % MOUNTED == 0:
            (self._folder / str(number)).write_bytes(bytes(colour))  # as many: its size tells files apart

    def source(self, number: int) -> Source:
        folder = self._folder if number % MOUNTED == 0 else None
        return Source(str(number), f"http://ls/data/local-files/?d={number}", folder=folder)

    async def fetch(self, source: Source, validators: tuple[tuple[str, str], ...] = ()) -> Fetched | None:
        number = int(source.identity)
        self.asked.append(number)
        if is_broken(number):
            raise Problem(502, "fetch", "There is no such image.")
        colour = self.content[number]
        if validators == (("If-None-Match", str(colour)),):
            return None
        return Fetched(picture((colour, 0, 0), size=(8, 8)), (("If-None-Match", str(colour)),))


class CountingLoop(asyncio.SelectorEventLoop):
    """in_threads: what its threads were asked for, and have not told it yet."""

    def __init__(self) -> None:
        super().__init__()
        self.in_threads = 0
        self.set_default_executor(ThreadPoolExecutor(8))

    def run_in_executor(self, executor: Any, *work: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        self.in_threads += 1
        future = super().run_in_executor(executor, *work)
        future.add_done_callback(self._told)
        return future

    def _told(self, _: asyncio.Future[Any]) -> None:
        self.in_threads -= 1


class Bench:
    """A loop of its own with everything between the request and the engine."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self.loop = CountingLoop()
        self.engine, self.addresses = HeldEngine(), Addresses(Path(self._folder.name))
        self.now = 0.0
        # Nothing waits for a clock here but what the bench tells the time.
        self._click_seconds, embeddings.CLICK_SECONDS = embeddings.CLICK_SECONDS, 0.0
        chosen = from_environment({"CACHE_DIR": self._folder.name, "MAX_PREWARM_TASKS": str(LIMIT)})
        metrics = Metrics()
        self.device = Device(self.engine, overlaps=True, lost=print)
        self.embeddings = Embeddings(self.engine, self.device, chosen, self.addresses, metrics)  # type: ignore[arg-type]
        self.embeddings.disk.open()
        self.embeddings.sightings = Sightings(clock=lambda: self.now)
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
        while quiet < TURNS:
            await asyncio.sleep(0)
            encoder_waits = self.device.depth == 0 or self.engine.holds
            if encoder_waits and not self.device._decoder.depth and not self.loop.in_threads:
                quiet += 1
            else:
                quiet = 0
                await asyncio.sleep(0.0005)

    def encode_one(self) -> None:
        """Lets the engine finish the encode that it holds."""
        finished = self.engine.finished
        self.engine.let()
        while self.engine.finished == finished:
            time.sleep(0.0005)
        self.settle()

    def finish(self) -> None:
        """Lets the engine work off everything."""
        self.settle()
        while self.engine.holds:
            self.encode_one()
        assert not self.prewarmer.depth, "images wait, and nothing moves them"

    def lose_embeddings(self) -> None:
        """Memory and disk have none any more; what lay at which address is still known."""
        self.run(self._written())
        self.embeddings.memory.clear()
        for path in Path(self._folder.name).rglob("*.emb"):
            path.unlink()
        self.embeddings.disk = DiskTier(Path(self._folder.name), 1 << 30)
        self.embeddings.disk.open()

    async def _written(self) -> None:
        if self.embeddings._behind:
            await asyncio.wait(self.embeddings._behind)

    def click(self, number: int) -> asyncio.Task[Any]:
        async def clicked() -> Any:
            async with self.gate.enter():
                return await self.embeddings.get(self.addresses.source(number), Urgency.CLICK, Steps())

        task = self.loop.create_task(clicked())
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # asked for: nobody may await it
        self.settle()
        return task

    def open(self, numbers: range) -> None:
        async def opened() -> None:
            for number in numbers:
                self.prewarmer.opened("1", iter([self.addresses.source(number)]), batch=False)

        self.run(opened())
        self.settle()

    def prewarm(self, *batches: range) -> list[Any]:
        async def all_of_them() -> list[Any]:
            calls = [self.prewarmer.add("1", [self.addresses.source(number) for number in batch]) for batch in batches]
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
        embeddings.CLICK_SECONDS = self._click_seconds
        self.engine.let(10_000)
        self.run(self.prewarmer.stop())
        self.run(self.embeddings.close())
        self.loop.run_until_complete(self._let_go())
        self.device.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self._folder.cleanup()


@dataclass
class Click:
    """possible: what its address may be believed to hold; before: encodes begun when it came."""

    number: int
    possible: set[int]
    before: int
    task: asyncio.Task[Any]


class Serving(RuleBasedStateMachine):
    """Clicks, opened tasks, prewarmed projects, replaced images, lost embeddings and passing time in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.clicks: list[Click] = []
        self.colours = itertools.count(IMAGES)
        # What each address had since it may last have been asked.
        self.had = {number: {number} for number in range(IMAGES)}
        self.kept_since = 0  # no embedding that was begun later has been lost
        self.ever = (0, 0)

    @rule(number=st.integers(0, IMAGES - 1))
    def click(self, number: int) -> None:
        before = len(self.bench.engine.started)
        self.clicks.append(Click(number, set(self.had[number]), before, self.bench.click(number)))

    @rule(first=st.integers(0, IMAGES - 12), count=st.integers(1, 12))
    def open(self, first: int, count: int) -> None:
        self.bench.open(range(first, first + count))

    @rule(first=st.integers(0, IMAGES - 12), click=st.integers(0, 30))
    def click_among_opened(self, first: int, click: int) -> None:
        """An annotator goes through tasks, and clicks on one."""
        self.open(first, 12)
        self.click((first + click) % IMAGES)
        self.encode_if_any()

    @rule(first=st.integers(0, IMAGES - 10), count=st.integers(1, 10), second=st.integers(0, IMAGES - 10))
    def prewarm(self, first: int, count: int, second: int) -> None:
        """Two callers at once; more than the limit is refused, and what was taken is done all the same."""
        self.bench.prewarm(range(first, first + count), range(second, second + 3))

    @rule(first=st.integers(0, IMAGES - LIMIT), count=st.integers(1, LIMIT))
    def prewarm_to_the_end(self, first: int, count: int) -> None:
        """With nothing else to do everything that was taken is done or failed, and told so, now and later."""
        self.bench.finish()
        before = self.since_start()
        ((accepted, _),) = self.bench.prewarm(range(first, first + count))
        self.bench.finish()
        done, failed = self.since_start()
        broken = sum(map(is_broken, range(first, first + count)))
        assert (done - before[0], failed - before[1]) == (accepted - broken, broken)

    @rule(number=st.integers(0, IMAGES - 1))
    def replace(self, number: int) -> None:
        colour = next(self.colours)
        self.bench.addresses.put(number, colour)
        mounted = number % MOUNTED == 0
        self.had[number] = {colour} if mounted and not self.bench.device.depth else self.had[number] | {colour}

    @rule()
    def later(self) -> None:
        """Everything that was seen is to be asked again."""
        self.bench.finish()
        self.bench.now += FRESH_SECONDS
        self.had = {number: {colour} for number, colour in self.bench.addresses.content.items()}

    @rule()
    def lose_embeddings(self) -> None:
        self.bench.finish()
        self.bench.lose_embeddings()
        self.kept_since = len(self.bench.engine.started)

    @rule(number=st.integers(0, IMAGES - 1), lost=st.booleans())
    def click_on_replaced(self, number: int, lost: bool) -> None:
        """Two clicks, one after the other: the second finds what the first one saw, and fetches nothing."""
        self.click(number)
        self.bench.finish()
        self.replace(number)
        if lost:
            self.lose_embeddings()
        for _ in range(2):
            asked = len(self.bench.addresses.asked)
            self.click(number)
            self.bench.finish()
        assert is_broken(number) or self.bench.addresses.asked[asked:] == []

    @precondition(lambda self: self.bench.engine.holds)
    @rule()
    def encode(self) -> None:
        self.bench.encode_one()

    def encode_if_any(self) -> None:
        if self.bench.engine.holds:
            self.bench.encode_one()

    def since_start(self) -> tuple[int, int]:
        told: Any = self.bench.prewarmer.progress("1")["since_start"]
        return told["done"], told["failed"]

    @invariant()
    def clicks_come_first(self) -> None:
        """Nothing is begun before a click but the clicks that came earlier."""
        for position, click in enumerate(self.clicks):
            begun = self.bench.engine.started[click.before :]
            running = set(self.bench.engine.started[max(0, click.before - 1) :])
            if not click.task.done() and not click.possible & running:
                earlier = set().union(*(one.possible for one in self.clicks[:position]))
                assert set(begun) <= earlier, f"encoded before the click: {begun}"

    @invariant()
    def clicks_see_their_image(self) -> None:
        for click in self.clicks:
            if click.task.done() and not is_broken(click.number):
                image, _ = click.task.result()
                assert round(3 * image.prepared.colour) in click.possible

    @invariant()
    def nothing_is_encoded_twice(self) -> None:
        begun = self.bench.engine.started[self.kept_since :]
        assert len(begun) == len(set(begun)), f"encoded twice: {begun}"

    @invariant()
    def progress_is_right(self) -> None:
        progress: Any = self.bench.prewarmer.progress("1")
        assert progress["done"] + progress["failed"] <= progress["total"]
        ever = self.since_start()
        assert ever[0] >= self.ever[0]
        assert ever[1] >= self.ever[1]
        self.ever = ever

    def teardown(self) -> None:
        try:
            self.bench.finish()
            progress: Any = self.bench.prewarmer.progress("1")
            assert progress["done"] + progress["failed"] == progress["total"]
            assert all(click.task.done() for click in self.clicks)
        finally:
            self.bench.close()


TestServing = Serving.TestCase
TestServing.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
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


@pytest.mark.parametrize("joined", [False, True])
def test_a_click_raises_the_encode_of_the_same_content_elsewhere(joined: bool) -> None:
    """joined: its task was opened too, and waits for that encode already."""

    def test(bench: Bench) -> None:
        for number in (8, 10):
            bench.addresses.put(number, 50)
        bench.click(1)
        bench.open(range(8, 9))
        if joined:
            bench.open(range(10, 11))
        bench.click(10)
        bench.click(38)
        bench.finish()
        assert bench.engine.started == [1, 50, 38]

    with_bench(test)


def test_clicks_go_in_their_order_whenever_their_tasks_were_opened() -> None:
    def test(bench: Bench) -> None:
        bench.open(range(1, 3))
        (first,) = bench.engine.started  # whichever was read sooner
        other = 3 - first
        bench.click(39)
        bench.click(other)
        bench.finish()
        assert bench.engine.started == [first, 39, other]

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


def test_the_next_tasks_go_in_their_order_before_all_that_waits() -> None:
    """22 and 23 are on their way, and 24, 25 and 26 wait, so that there is room for three more."""

    def test(bench: Bench) -> None:
        bench.prewarm(range(22, 27))
        bench.run(bench.prewarmer.add_first("1", [bench.addresses.source(number) for number in (25, 36, 37, 38, 39)]))
        bench.finish()
        order, started = [22, 23, 25, 36, 37, 38, 24, 26], bench.engine.started
        assert sorted(started) == sorted(order)
        # Two are on their way at a time, and the later one may come first.
        assert all(abs(started.index(number) - place) <= 1 for place, number in enumerate(order)), started
        assert bench.prewarmer.progress("1")["done"] == 8
        bench.run(bench.prewarmer.add_first("1", [bench.addresses.source(36)]))
        bench.finish()
        assert len(bench.engine.started) == 8

    with_bench(test)


def test_the_total_is_never_passed_whoever_adds_at_the_same_time() -> None:
    """Two callers, each held up by an image of its own: one before anything of it waits, the other after."""

    def test(bench: Bench) -> None:
        known, may_go_on = bench.embeddings.known, asyncio.Event()

        async def slow(source: Source) -> bool:
            if source.identity in ("5", "10"):
                await may_go_on.wait()
            return await known(source)

        async def both() -> None:
            for numbers in ((5, 1), (2, 10)):
                work = bench.prewarmer.add("1", [bench.addresses.source(number) for number in numbers])
                adding.append(asyncio.create_task(work))

        adding: list[asyncio.Task[Any]] = []
        bench.embeddings.known = slow  # type: ignore[method-assign]
        bench.run(both())
        bench.finish()
        progress = bench.prewarmer.progress("1")
        assert (progress["done"], progress["total"]) == (1, 1)
        bench.loop.call_soon(may_go_on.set)
        bench.finish()
        progress = bench.prewarmer.progress("1")
        assert (progress["done"], progress["total"]) == (3, 3)
        assert progress["since_start"] == {"done": 4, "failed": 0}
        assert [task.result() for task in adding] == [(2, 0), (2, 0)]

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
        bench.addresses.put(5, 200)
        bench.lose_embeddings()
        for _ in range(4):
            bench.click(5)
            bench.finish()
        assert bench.engine.started.count(200) == 1
        assert bench.addresses.asked.count(5) == 2

    with_bench(test)


def test_few_files_wait_for_the_device() -> None:
    """Each may have hundreds of megabytes: the others are not fetched before one of these is done."""

    def test(bench: Bench) -> None:
        bench.open(range(1, 31))
        for number in range(31, 40):
            bench.click(number)
        assert len([number for number in bench.addresses.asked if not is_broken(number)]) == AHEAD + CLICKED

    with_bench(test)


def test_a_slow_disk_keeps_few_embeddings_waiting() -> None:
    """Annotators' images stay in memory alone then; prewarming waits for the disk."""

    def test(bench: Bench) -> None:
        written, exported = asyncio.Event(), bench.device.export
        begun: list[object] = []

        async def export(prepared: Any) -> Any:
            begun.append(prepared)
            await written.wait()
            return await exported(prepared)

        bench.device.export = export  # type: ignore[method-assign]
        bench.engine.let(100)
        bench.open(range(1, 21))
        bench.finish()
        assert len(begun) == MOST_BEHIND
        bench.prewarm(range(30, 34))
        assert not set(range(30, 34)) & set(bench.addresses.asked)
        bench.loop.call_soon(written.set)
        bench.finish()
        assert set(range(30, 34)) <= set(bench.addresses.asked)

    with_bench(test)


def test_an_embedding_that_is_still_being_written_is_not_made_again() -> None:
    def test(bench: Bench) -> None:
        written, exported = asyncio.Event(), bench.device.export

        async def export(prepared: Any) -> Any:
            await written.wait()
            return await exported(prepared)

        bench.device.export = export  # type: ignore[method-assign]
        bench.engine.let(100)
        bench.prewarm(range(1, 3))
        bench.finish()
        bench.prewarm(range(1, 2))
        bench.click(2)
        bench.finish()
        bench.loop.call_soon(written.set)
        bench.finish()
        assert sorted(bench.engine.started) == [1, 2]

    with_bench(test)


def test_no_file_system_is_asked_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted images may lie on a network's file system that hangs."""

    def test(bench: Bench) -> None:
        asked: set[int] = set()
        for name in ("stat", "resolve", "is_file"):
            _note_threads(monkeypatch, name, asked)
        bench.engine.let(2)
        bench.click(3)
        bench.open(range(6, 7))
        bench.finish()
        assert bench.run(bench.embeddings.known(bench.addresses.source(3)))
        assert asked
        assert threading.get_ident() not in asked

    with_bench(test)


def _note_threads(monkeypatch: pytest.MonkeyPatch, name: str, asked: set[int]) -> None:
    method = getattr(Path, name)

    def noted(path: Path, *arguments: Any, **options: Any) -> Any:
        asked.add(threading.get_ident())
        return method(path, *arguments, **options)

    monkeypatch.setattr(Path, name, noted)
