"""Prepared embeddings in memory (or on the device), least recently used out first, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sam2_backend.engine.interface import Prepared
from sam2_backend.serving.store.key import Key


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image ready for clicks. width, height: the upright image's, in pixels."""

    key: Key
    prepared: Prepared
    width: int
    height: int


class MemoryTier:
    """Used from the event loop only."""

    def __init__(self, limit: int, evicted: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._evicted = evicted
        self._entries: OrderedDict[Key, tuple[PreparedImage, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> PreparedImage | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, image: PreparedImage) -> None:
        """Keeps at least the newest image, so that the next click on it is warm however small the limit."""
        self._remove(image.key)
        size = image.prepared.nbytes
        self._entries[image.key] = (image, size)
        self.bytes += size
        while self.bytes > self._limit and len(self._entries) > 1:
            self._remove(next(iter(self._entries)))
            self._evicted()

    def clear(self) -> None:
        """Lets go of everything, e.g. because the device is out of memory."""
        for _ in self._entries:
            self._evicted()
        self._entries.clear()
        self.bytes = 0

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self.bytes -= entry[1]
