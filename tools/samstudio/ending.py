"""What works step by step and is asked to end, by Ctrl-C or SIGTERM, ends between two steps."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")
#: Seconds between two looks whether it was asked, where there is something to wait for.
LOOK_SECONDS = 0.2
_asked = 0


class Ended(Exception):
    """It was asked to end, and nothing is half done. Its text is for people."""


@contextmanager
def between_steps() -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard by `step` alone while this is open; a second Ctrl-C ends the process at once."""
    global _asked
    _asked = 0
    before = {number: signal.signal(number, _hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def step() -> None:
    """Raises Ended if the process was asked to end."""
    if _asked:
        raise Ended


def wait(seconds: float) -> None:
    """Sleep. Raises Ended as `step` does."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        step()
        time.sleep(min(LOOK_SECONDS, left))
    step()


def result(future: futures.Future[T]) -> T:
    """What a future gives. Raises what it raises, and Ended as `step` does while there is nothing yet."""
    while not future.done():
        step()
        futures.wait([future], LOOK_SECONDS)
    return future.result()


def leave() -> NoReturn:
    """End as the signal would have ended the process, and wait for none of its threads."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    _die(_asked or signal.SIGTERM)


def _hear(number: int, _: FrameType | None) -> None:
    global _asked
    if _asked and number == signal.SIGINT:
        _die(number)
    _asked = number


def _die(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)
