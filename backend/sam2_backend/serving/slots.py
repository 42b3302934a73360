"""How many images may be in the process at once as files and pixels, the largest things in it.

Clicks have slots of their own, so that no number of opened or prewarmed tasks keeps one waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from sam2_backend.serving.claim import Claim, Urgency

AHEAD = 2  # images that nobody waits for
CLICKED = 4


class ImageSlots:
    """ahead: how many that nobody waits for. Used from the event loop only."""

    def __init__(self, ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._held: list[bool] = []  # for each slot in use, whether a click took it
        self._waiting: list[tuple[Claim, asyncio.Future[bool]]] = []

    @contextlib.asynccontextmanager
    async def hold(self, claim: Claim) -> AsyncIterator[None]:
        """Waits until this claim is the most urgent that fits."""
        entry = (claim, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        claim.on_raise(lambda _: self._admit())
        self._admit()
        try:
            clicked = await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not entry[1].cancelled():
                self._release(entry[1].result())
            raise
        try:
            yield
        finally:
            self._release(clicked)

    def _release(self, clicked: bool) -> None:
        self._held.remove(clicked)
        self._admit()

    def _admit(self) -> None:
        for entry in sorted(self._waiting, key=lambda waiting: waiting[0].rank):
            claim, admitted = entry
            clicked = claim.urgency == Urgency.CLICK
            if self._held.count(clicked) >= (CLICKED if clicked else self._ahead):
                continue
            self._waiting.remove(entry)
            if not admitted.done():
                self._held.append(clicked)
                admitted.set_result(clicked)
