"""Image embeddings on disk, float16, bounded in bytes, least recently used out first; survives restarts.

Only files ending in `.emb` below `<cache>/embeddings` are ever read, replaced or removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from sam2_backend.serving.store.file_format import StoredImage, UnusableError, from_bytes, to_bytes
from sam2_backend.serving.store.key import Key

log = logging.getLogger(__name__)
SUFFIX = ".emb"


class DiskTier:
    """Thread safe; its methods block on the disk and belong into worker threads."""

    def __init__(
        self,
        folder: Path,
        limit: int,
        evicted: Callable[[], None] = lambda: None,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder / "embeddings"
        self._limit = limit
        self._evicted = evicted
        self._dropped = dropped
        self._lock = threading.Lock()
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._writable = limit > 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def open(self) -> None:
        """Takes stock. A folder that cannot be written turns this tier off with a warning: clicks work without it."""
        if self._limit <= 0:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for leftover in self._folder.glob("**/*.tmp"):
                leftover.unlink(missing_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".tmp"):
                pass
            found = []
            for path in self._folder.glob(f"**/*{SUFFIX}"):
                with contextlib.suppress(OSError):
                    stat = path.stat()
                    found.append((stat.st_mtime_ns, path, stat.st_size))
        except OSError as error:
            self._writable = False
            log.warning("No image embeddings on disk: %s cannot be used (%s)", self._folder, error.strerror)
            return
        with self._lock:
            for _, path, size in sorted(found):
                self._sizes[path] = size
                self.bytes += size
            superfluous = self._over_the_limit()
        self._evict(superfluous)

    @property
    def enabled(self) -> bool:
        return self._writable

    def has(self, key: Key) -> bool:
        with self._lock:
            return self._path(key) in self._sizes

    def read(self, key: Key) -> StoredImage | None:
        """None if there is no usable file; an unusable one is removed."""
        path = self._path(key)
        with self._lock:
            if path not in self._sizes:
                return None
        try:
            stored = from_bytes(key, path.read_bytes())
            os.utime(path)
        except (OSError, UnusableError) as error:
            log.warning("Dropped the cached embedding %s: %s", path.name, error)
            self.drop(key)
            return None
        with self._lock:
            if path in self._sizes:
                self._sizes.move_to_end(path)
        return stored

    def drop(self, key: Key) -> None:
        """Removes what cannot be used."""
        path = self._path(key)
        with self._lock:
            self.bytes -= self._sizes.pop(path, 0)
        with contextlib.suppress(OSError):
            path.unlink()
        self._dropped()

    def write(self, key: Key, stored: StoredImage) -> None:
        """Atomic: readers see the whole file or none. A full disk is logged, not raised."""
        if not self._writable:
            return
        path, data = self._path(key), to_bytes(key, stored)
        if len(data) > self._limit:
            return
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
                temporary = Path(file.name)
                file.write(data)
            temporary.replace(path)
        except OSError as error:
            log.warning("Could not store an image embedding in %s: %s", self._folder, error.strerror)
            if temporary:
                temporary.unlink(missing_ok=True)
            return
        with self._lock:
            self.bytes += len(data) - self._sizes.pop(path, 0)
            self._sizes[path] = len(data)
            superfluous = self._over_the_limit()
        self._evict(superfluous)

    def _path(self, key: Key) -> Path:
        return self._folder / key.engine / key.content[:2] / f"{key.content}{SUFFIX}"

    def _over_the_limit(self) -> list[Path]:
        """What has to go, least recently used first; with the lock held, so that nothing slow may happen here."""
        found = []
        while self.bytes > self._limit and self._sizes:
            path, size = self._sizes.popitem(last=False)
            self.bytes -= size
            found.append(path)
        return found

    def _evict(self, paths: list[Path]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()
            self._evicted()
