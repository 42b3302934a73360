"""Which content lay at which address, so that a click on a known image fetches nothing.

When an address is believed without asking: uploads always (Label Studio never reuses their names); a mounted file while
its size and times are the same; anything else for `FRESH_SECONDS`, and then the server is asked whether it changed.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from sam2_backend.images.sources import Source

FRESH_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """content: sha256 of the file seen there; stamp: a mounted file's (mtime, size, inode), else None."""

    content: str
    stamp: tuple[int, int, int] | None
    validators: tuple[tuple[str, str], ...]
    seen: float


class Sightings:
    """Used from the event loop only. clock: seconds that never go back."""

    def __init__(self, size: int = 100_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._sightings: OrderedDict[str, Sighting] = OrderedDict()

    def get(self, source: Source) -> Sighting | None:
        return self._sightings.get(source.identity)

    def believable(self, source: Source, sighting: Sighting) -> bool:
        """source: as `images.sources.mounted` sees it now."""
        if source.stamp is not None:
            return sighting.stamp == source.stamp
        return source.immutable or self._clock() - sighting.seen < FRESH_SECONDS

    def saw(self, source: Source, content: str, validators: tuple[tuple[str, str], ...]) -> None:
        """source: as it was before its file was read; content and validators as in `Sighting`."""
        self._put(source, Sighting(content, source.stamp, validators, self._clock()))

    def confirm(self, source: Source, sighting: Sighting) -> None:
        self._put(source, replace(sighting, seen=self._clock()))

    def forget(self, source: Source) -> None:
        self._sightings.pop(source.identity, None)

    def _put(self, source: Source, sighting: Sighting) -> None:
        self._sightings[source.identity] = sighting
        self._sightings.move_to_end(source.identity)
        if len(self._sightings) > self._size:
            self._sightings.popitem(last=False)
