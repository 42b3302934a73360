"""Which content lay at which address, so that a click on a known image fetches nothing.

When an address is believed without asking: uploads always (Label Studio never reuses their names); a mounted file while
its size and times are the same; anything else for `FRESH_SECONDS`, and then the server is asked whether it changed.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from ..sources import Source

FRESH_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Place:
    """content: sha256 of the file seen there; stamp: a mounted file's (mtime, size, inode), else None."""

    content: str
    stamp: tuple[int, int, int] | None
    validators: tuple[tuple[str, str], ...]
    seen: float


def stamp_of(source: Source) -> tuple[int, int, int] | None:
    """None for what is not a mounted file, or not one any more."""
    if source.path is None:
        return None
    try:
        stat = source.path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class Places:
    """Used from the event loop only."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._places: OrderedDict[str, Place] = OrderedDict()

    def get(self, source: Source) -> Place | None:
        return self._places.get(source.identity)

    def believable(self, source: Source, place: Place) -> bool:
        if source.path is not None:
            return place.stamp is not None and place.stamp == stamp_of(source)
        return source.immutable or time.monotonic() - place.seen < FRESH_SECONDS

    def put(self, source: Source, place: Place) -> None:
        self._places[source.identity] = place
        self._places.move_to_end(source.identity)
        if len(self._places) > self._size:
            self._places.popitem(last=False)

    def confirm(self, source: Source, place: Place) -> None:
        self.put(source, replace(place, seen=time.monotonic()))

    def forget(self, source: Source) -> None:
        self._places.pop(source.identity, None)
