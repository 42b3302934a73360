"""The device: two worker threads, one encodes images and one decodes prompts, each taking the most urgent job.

An encode takes a hundred times as long as a decode and cannot be interrupted, so a click on a known image must not
queue behind one, and gets the larger part of the CPU while one runs. Where the engine cannot do both at once, both
threads share the device through a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import (
    Decoded,
    Engine,
    EngineLost,
    EngineOutOfMemory,
    HostEmbedding,
    Prepared,
    Prompt,
)
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Claim

log = logging.getLogger(__name__)
T = TypeVar("T")
# A click beside an encode then takes 1.7 times as long instead of 2.2, and the encode is no slower for it.
ENCODE_NICENESS = 10


class Device:
    """Everything that is asked of the engine goes through here. Used from the event loop only.

    overlaps: the engine can decode in one thread while another one encodes. lost: told once, with the reason, when the
    device computes no more. make_room: lets go of the prepared images in the device's memory.
    """

    def __init__(self, engine: Engine, *, overlaps: bool, lost: Callable[[str], None]) -> None:
        shared = None if overlaps else threading.Lock()
        self._engine = engine
        self._encoder = DeviceThread("encode", shared, niceness=ENCODE_NICENESS)
        self._decoder = DeviceThread("decode", shared)
        self._lost = lost
        self._reason = ""
        self.make_room: Callable[[], None] = lambda: None

    @property
    def depth(self) -> int:
        """Encodes waiting or running."""
        return self._encoder.depth

    async def encode(self, pixels: NDArray[np.float32], claim: Claim) -> Prepared:
        """pixels: as `Engine.pixels` made them. Raises Problem (503) if the device has no room."""
        return await self._run(self._encoder, lambda: self._engine.encode_pixels(pixels), claim)

    async def export(self, prepared: Prepared, claim: Claim) -> HostEmbedding:
        return await self._run(self._encoder, lambda: self._engine.export(prepared), claim)

    async def restore(self, embedding: HostEmbedding, claim: Claim) -> Prepared:
        """Raises ValueError for an embedding that this engine does not take."""
        return await self._run(self._decoder, lambda: self._engine.restore(embedding), claim)

    async def best_mask(self, prepared: Prepared, prompt: Prompt, claim: Claim) -> tuple[NDArray[np.float32], float]:
        """Low-res logits (h, w) of the candidate with the highest predicted IoU, and that IoU, 0 to 1."""
        return await self._run(self._decoder, lambda: _best(self._engine.decode(prepared, prompt)), claim)

    def close(self) -> None:
        """Finishes what runs, cancels the rest. Blocks."""
        self._encoder.close()
        self._decoder.close()

    async def _run(self, thread: DeviceThread, work: Callable[[], T], claim: Claim) -> T:
        """Done once more, after making room, if the device has none."""
        for attempt in (1, 2):
            if self._reason:
                break
            try:
                return await asyncio.wrap_future(thread.submit(work, claim))
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


def _best(decoded: Decoded) -> tuple[NDArray[np.float32], float]:
    best = int(np.argmax(decoded.scores))
    # The engine may reuse its output buffers for the next prompt.
    return np.array(decoded.logits[best], np.float32), min(1.0, max(0.0, float(decoded.scores[best])))


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T], claim: Claim) -> None:
        self.work = work
        self.claim = claim
        self.future: Future[T] = Future()


class DeviceThread:
    """Takes the job whose claim is the most urgent at that moment. niceness: added to the thread's."""

    def __init__(
        self, name: str, device: contextlib.AbstractContextManager[Any] | None = None, *, niceness: int = 0
    ) -> None:
        self._device = device or contextlib.nullcontext()
        self._niceness = niceness
        self._waiting: list[_Job[Any]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._thread = threading.Thread(target=self._loop, name=f"device-{name}", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], claim: Claim) -> Future[T]:
        job = _Job(work, claim)
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
            if not self._waiting:  # closed meanwhile
                return
            job = min(self._waiting, key=lambda waiting: waiting.claim.rank)
            self._waiting.remove(job)
            if not job.future.set_running_or_notify_cancel():
                return
            self._running = 1
        try:
            result = job.work()
        except BaseException as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
        finally:
            with self._changed:
                self._running = 0
