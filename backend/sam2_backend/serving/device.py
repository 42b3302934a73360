"""The device: two worker threads, one encodes images and one decodes prompts, each taking the most urgent job.

An encode takes a hundred times as long as a decode and cannot be interrupted, so a click on a known image must not
queue behind one, and gets the larger part of the CPU while one runs. Where the engine cannot do both at once, both
threads share the device through a lock. Images that nobody waits for are encoded several at once where the engine can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import (
    Decoded,
    Engine,
    EngineLost,
    EngineOutOfMemory,
    HostEmbedding,
    Pixels,
    Prepared,
    Prompt,
)
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Claim, Urgency

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
# Of the encoding thread on a CPU: clicks beside an encode get more of it, and the encode is no slower for that.
ENCODE_NICENESS = 10


class Device:
    """Everything that is asked of the engine goes through here. Used from the event loop only.

    overlaps: the engine can decode in one thread while another one encodes. lost: told once, with the reason, when the
    device computes no more. make_room: lets go of the prepared images in the device's memory.
    """

    def __init__(self, engine: Engine, *, overlaps: bool, lost: Callable[[str], None]) -> None:
        shared = None if overlaps else threading.Lock()
        niceness = ENCODE_NICENESS if engine.info.device == "cpu" else 0
        self._engine = engine
        self._encoder = DeviceThread("encode", engine.encode_batch, shared, niceness=niceness, most=engine.batch)
        self._decoder = DeviceThread("decode", _call, shared)
        self._lost = lost
        self._reason = ""
        self.make_room: Callable[[], None] = lambda: None

    @property
    def mask_side(self) -> int:
        return self._engine.info.mask_side

    @property
    def depth(self) -> int:
        """Encodes waiting or running."""
        return self._encoder.depth

    async def beside(self, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """In a thread of its own, what the engine does in any: `Engine.pixels` and `Engine.export`."""
        return await self._run(lambda: asyncio.to_thread(work, *arguments, **options))

    async def encode(self, pixels: Pixels, claim: Claim) -> Prepared:
        """Raises Problem (503) if the device has no room."""
        return await self._run(lambda: asyncio.wrap_future(self._encoder.submit(pixels, claim)))

    async def export(self, prepared: Prepared) -> HostEmbedding:
        return await self.beside(self._engine.export, prepared)

    async def restore(self, embedding: HostEmbedding, claim: Claim) -> Prepared:
        """Raises ValueError for an embedding that this engine does not take."""
        return await self._decode(lambda: self._engine.restore(embedding), claim)

    async def best_mask(self, prepared: Prepared, prompt: Prompt, claim: Claim) -> tuple[NDArray[np.float32], float]:
        """Low-res logits (h, w) of the candidate with the highest predicted IoU, and that IoU, 0 to 1."""
        return await self._decode(lambda: self._engine.best_mask(prepared, prompt), claim)

    async def candidates(self, prepared: Prepared, prompt: Prompt, claim: Claim) -> Decoded:
        """As `Engine.decode`."""
        return await self._decode(lambda: self._engine.decode(prepared, prompt), claim)

    def close(self) -> None:
        """Finishes what runs, cancels the rest. Blocks."""
        self._encoder.close()
        self._decoder.close()

    async def _decode(self, work: Callable[[], T], claim: Claim) -> T:
        return await self._run(lambda: asyncio.wrap_future(self._decoder.submit(work, claim)))

    async def _run(self, begin: Callable[[], Awaitable[T]]) -> T:
        """Done once more, after making room, if the device has none."""
        for attempt in (1, 2):
            if self._reason:
                break
            try:
                return await begin()
            except EngineOutOfMemory:
                log.warning("The device is out of memory (attempt %d)", attempt)
                self.make_room()
            except EngineLost as error:
                self._lose(error)
        if self._reason:
            raise Problem(503, "device", f"The device computes no more, the backend restarts: {self._reason}")
        raise Problem(
            503,
            "device",
            "The device is out of memory even after all cached images were dropped: use a smaller model, or free "
            "memory that other processes hold on it.",
            retry_after=10,
        )

    def _lose(self, error: EngineLost) -> None:
        if not self._reason:
            self._reason = " ".join(str(error).split()) or type(error).__name__
            log.error("The device computes no more: %s", self._reason)
            self._lost(self._reason)


def _call(work: Sequence[Callable[[], Any]]) -> list[Any]:
    return [each() for each in work]


class _Job(Generic[T]):
    def __init__(self, item: Any, claim: Claim) -> None:
        self.item = item
        self.claim = claim
        self.future: Future[T] = Future()


class DeviceThread:
    """Takes the job whose claim is the most urgent at that moment, or `most` of those that nobody waits for at once.

    run: the jobs' items to their results. niceness: added to the thread's.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Any]], list[Any]],
        device: contextlib.AbstractContextManager[Any] | None = None,
        *,
        niceness: int = 0,
        most: int = 1,
    ) -> None:
        self._run = run
        self._device = device or contextlib.nullcontext()
        self._niceness = niceness
        self._most = most
        self._waiting: list[_Job[Any]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._thread = threading.Thread(target=self._loop, name=f"device-{name}", daemon=True)
        self._thread.start()

    def submit(self, item: Any, claim: Claim) -> Future[Any]:
        job = _Job[Any](item, claim)
        with self._changed:
            if self._closed:
                raise RuntimeError("the device is closed")
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    @property
    def depth(self) -> int:
        """Jobs waiting or running."""
        with self._changed:
            return self._running + len(self._waiting)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify()
        for job in waiting:
            job.future.cancel()
        self._thread.join(timeout=60)

    def _loop(self) -> None:
        os.nice(self._niceness)  # of this thread alone, on Linux
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
            with self._device:
                self._take()

    def _take(self) -> None:
        """The device is ours now: whatever came until this moment may be first."""
        with self._changed:
            jobs = [job for job in self._next() if job.future.set_running_or_notify_cancel()]
            self._running = len(jobs)
        if not jobs:  # closed meanwhile, or given up
            return
        items = [job.item for job in jobs]
        try:
            # Some of a batch may have been given up at the last moment.
            whole = len(items) in (1, self._most)
            results = self._run(items) if whole else [result for item in items for result in self._run([item])]
            for job, result in zip(jobs, results, strict=True):
                job.future.set_result(result)
        except BaseException as error:
            for job in jobs:
                job.future.set_exception(error)
        finally:
            with self._changed:
                self._running = 0

    def _next(self) -> list[_Job[Any]]:
        """Taken out of those that wait: the most urgent one, or a full batch of those that nobody waits for."""
        waiting = [job for job in self._waiting if not job.future.cancelled()]
        ordered = sorted(waiting, key=lambda job: job.claim.rank)
        count = 1
        if ordered and ordered[0].claim.urgency == Urgency.PREWARM and len(ordered) >= self._most:
            count = self._most
        taken = ordered[:count]
        self._waiting = [job for job in waiting if job not in taken]
        return taken
