"""The device's two worker threads: one encodes images, one decodes prompts, each taking the most urgent job first.

An encode takes a hundred times as long as a decode and cannot be interrupted, so a click on a known image must not
queue behind one, and gets the larger part of the CPU while one runs. Where the engine cannot do both at once, both
lanes share the device through a lock.
"""

from __future__ import annotations

import contextlib
import enum
import heapq
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Urgency(enum.IntEnum):
    """A click; a task that was just opened; a project that is being prewarmed."""

    CLICK = 0
    OPENED = 1
    PREWARM = 2


class Job(Generic[T]):
    """Work for a lane. May be made more urgent until it starts."""

    def __init__(self, run: Callable[[], T], urgency: Urgency) -> None:
        self.run = run
        self.urgency = urgency
        self.future: Future[T] = Future()


class DeviceQueue:
    """A thread with a priority queue; first come, first served among equals. niceness: added to the thread's."""

    def __init__(
        self, name: str, device: contextlib.AbstractContextManager[Any] | None = None, *, niceness: int = 0
    ) -> None:
        self._device = device or contextlib.nullcontext()
        self._niceness = niceness
        self._queue: list[tuple[int, int, Job[Any]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._thread = threading.Thread(target=self._work, name=f"lane-{name}", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[], T], urgency: Urgency) -> Job[T]:
        job = Job(run, urgency)
        with self._changed:
            if self._closed:
                raise RuntimeError("the lane is closed")
            heapq.heappush(self._queue, (urgency, next(self._order), job))
            self._changed.notify()
        return job

    def hurry(self, job: Job[Any], urgency: Urgency) -> None:
        """Moves a waiting job forward; no effect once it runs or if it is as urgent already."""
        with self._changed:
            if urgency < job.urgency and not job.future.running() and not job.future.done():
                job.urgency = urgency
                heapq.heappush(self._queue, (urgency, next(self._order), job))

    @property
    def depth(self) -> int:
        """Jobs waiting or running."""
        with self._changed:
            return self._running + len({id(job) for _, _, job in self._queue if not job.future.done()})

    def close(self) -> None:
        """Finishes the running job, cancels the rest."""
        with self._changed:
            self._closed = True
            waiting = [job for _, _, job in self._queue]
            self._queue.clear()
            self._changed.notify()
        for job in waiting:
            job.future.cancel()
        self._thread.join(timeout=60)

    def _work(self) -> None:
        os.nice(self._niceness)  # of this thread alone, on Linux
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return
                _, _, job = heapq.heappop(self._queue)
                # A hurried job is in the queue twice; its second turn finds it taken.
                if job.future.running() or job.future.done() or not job.future.set_running_or_notify_cancel():
                    continue
                self._running = 1
            try:
                with self._device:
                    result = job.run()
            except BaseException as error:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)
            finally:
                with self._changed:
                    self._running = 0
            del job
