"""The gate of `/predict`: how many clicks are let in at once, and the moments without any."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from sam2_backend.problems import Problem

# The longest that an image waits for a moment without clicks; then it shares the device with them.
PATIENCE_SECONDS = 30.0


class ClickGate:
    """count: clicks in progress. Used from the event loop only."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self._seconds = seconds
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Raises Problem: 503 where as many as the limit are in progress, 504 after `seconds` inside."""
        if self.count >= self.limit:
            raise Problem(
                503,
                "queue",
                f"The SAM2 backend is busy with {self.count} clicks, the limit: try again in a moment.",
                retry_after=2,
            )
        self.count += 1
        self._none.clear()
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise Problem(504, "predict", f"No mask within {self._seconds:g} s: the backend is overloaded.") from None
        finally:
            self.count -= 1
            if not self.count:
                self._none.set()

    async def pause(self) -> None:
        """Until there are none, but not longer than an image may wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):  # wait_for may swallow a cancellation
                await self._none.wait()
