"""An image's address → its prepared embedding: from memory, from disk, or fetched, decoded and encoded.

Equal work is done once: requests for one address share everything from the fetch on, requests for one content share the
encode, and an urgent request raises the claim of the work that it joins, at whatever stage that is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any, Literal

from sam2_backend.engine.interface import Engine, Pixels
from sam2_backend.images.decode import read_image
from sam2_backend.images.fetch import Fetcher
from sam2_backend.images.sources import Source, mounted
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Claim, Urgency
from sam2_backend.serving.device import Device
from sam2_backend.serving.slots import AHEAD, ImageSlots
from sam2_backend.serving.store.disk import DiskTier
from sam2_backend.serving.store.file_format import StoredImage
from sam2_backend.serving.store.key import Key, content_hash, engine_hash
from sam2_backend.serving.store.memory import MemoryTier, PreparedImage
from sam2_backend.serving.store.sightings import Sighting, Sightings
from sam2_backend.settings import Settings
from sam2_backend.steps import Steps

log = logging.getLogger(__name__)
Outcome = Literal["memory", "disk", "miss"]
# Embeddings that a slow disk may keep waiting.
MOST_BEHIND = 8
# A click that waits for its image is decoded and answered before anything is written.
CLICK_SECONDS = 0.1
# Of an image's embedding, about.
MEMORY_BYTES, DISK_BYTES = 11_500_000, 8_400_000


class _Work:
    """One image on its way, with everybody who waits for it. fetched: its file was looked at anew."""

    def __init__(self, urgency: Urgency) -> None:
        self.claim = Claim(urgency)
        self.outcome: Outcome = "miss"
        self.fetched = False
        self.task: asyncio.Task[PreparedImage]


class Embeddings:
    """Used from the event loop only; what blocks runs in threads and on the device."""

    def __init__(self, engine: Engine, device: Device, settings: Settings, fetcher: Fetcher, metrics: Metrics) -> None:
        self._engine = engine
        self._engine_hash = engine_hash(engine.info.fingerprint)
        self._device = device
        self._limits = settings.limits
        self._fetcher = fetcher
        self._metrics = metrics
        self.sightings = Sightings()
        self._slots = ImageSlots(self.ahead)
        self._working: dict[tuple[str, bool], _Work] = {}
        self._encoding: dict[Key, _Work] = {}
        self._behind: set[asyncio.Task[None]] = set()
        self._unwritten: dict[Key, PreparedImage] = {}
        self.counts = {"memory": 0, "disk": 0, "miss": 0, "evictions": 0}
        memory_bytes = _memory_limit(engine, settings.cache_memory_bytes)
        self._rooms = memory_bytes // MEMORY_BYTES, settings.cache_disk_bytes // DISK_BYTES
        self.memory = MemoryTier(memory_bytes, lambda: self._count_eviction("memory"))
        self.disk = DiskTier(
            settings.cache_dir,
            settings.cache_disk_bytes,
            lambda: self._count_eviction("disk"),
            metrics.dropped.inc,
        )
        device.make_room = self.memory.clear

    @property
    def ahead(self) -> int:
        """Images that nobody waits for, on their way at once: with a GPU, as many as fill its batches."""
        batch = self._engine.batch
        return AHEAD if batch == 1 else batch + min(os.cpu_count() or 1, 4 * batch)

    @property
    def room(self) -> int:
        """Images that the store takes: on disk, or in memory where that is all there is."""
        in_memory, on_disk = self._rooms
        return on_disk if self.disk.enabled else in_memory

    async def get(
        self, source: Source, urgency: Urgency, steps: Steps, frame: tuple[int, int] = (0, 0)
    ) -> tuple[PreparedImage, Outcome]:
        """frame: width and height that the editor showed, (0, 0) if not told. Raises Problem."""
        source = await _located(source)
        image, outcome, fetched = await self._image(source, urgency, steps)
        certain = source.immutable or source.path is not None
        if not fetched and not certain and 0 not in frame and frame != (image.width, image.height):
            # The editor shows another size than we remember: the image behind the address was replaced.
            image, outcome, _ = await self._image(source, urgency, steps, ask=True)
        return image, outcome

    async def put(self, data: bytes, steps: Steps) -> tuple[PreparedImage, Outcome]:
        """An image file that came with a request. Raises Problem."""
        key = self._key(await asyncio.to_thread(content_hash, data))
        work = _Work(Urgency.CLICK)

        async def make() -> PreparedImage:
            async with self._slots.hold(work.claim):
                return await self._of_file(key, data, work, steps)

        return await self._join((f"sha256:{key.content}", True), work, make()), work.outcome

    async def of_content(self, content: str, urgency: Urgency, steps: Steps) -> tuple[PreparedImage, Outcome]:
        """An image that `put` has seen. Raises Problem (410) if it is in the store no more."""
        work = _Work(urgency)
        image = await self._stored(self._key(content), work, steps)
        if image is None:
            raise Problem(410, "ui", "The image has left the cache: load it again.")
        self.memory.put(image)
        return image, work.outcome

    async def keep(self, source: Source, urgency: Urgency) -> bool:
        """Prepares an image that nobody waits for. False if it was in the store already. Raises Problem."""
        await self.caught_up(urgency)
        source = await _located(source)
        sighting = self._believed(source)
        if sighting and self._holds(self._key(sighting.content), on_disk=urgency == Urgency.PREWARM):
            return False
        _, outcome, _ = await self._image(source, urgency, Steps())
        return outcome == "miss"

    async def caught_up(self, urgency: Urgency) -> None:
        """What nobody waits for waits while the disk is behind with what was made before."""
        while urgency == Urgency.PREWARM and len(self._behind) >= MOST_BEHIND:
            await asyncio.wait(self._behind, return_when=asyncio.FIRST_COMPLETED)

    async def known(self, source: Source) -> bool:
        """Whether a click on this address would find its embedding in memory or on disk, as far as is known."""
        if self.sightings.get(source) is None:
            return False
        sighting = self._believed(await _located(source))
        return sighting is not None and self._holds(self._key(sighting.content), on_disk=True)

    def describe(self) -> dict[str, int]:
        return {
            "memory_bytes": self.memory.bytes,
            "memory_entries": len(self.memory),
            "disk_bytes": self.disk.bytes,
            "disk_entries": len(self.disk),
            "hits_memory": self.counts["memory"],
            "hits_disk": self.counts["disk"],
            "misses": self.counts["miss"],
            "evictions": self.counts["evictions"],
        }

    async def close(self) -> None:
        """Gives up what nobody waits for any more, and waits for embeddings that are still being written."""
        unfinished = [work.task for work in self._working.values()]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        if self._behind:
            await asyncio.wait(self._behind, timeout=self._limits.drain_seconds)

    def _key(self, content: str) -> Key:
        return Key(content, self._engine_hash)

    def _holds(self, key: Key, *, on_disk: bool) -> bool:
        return self.memory.get(key) is not None or (on_disk and (key in self._unwritten or self.disk.has(key)))

    def _believed(self, source: Source) -> Sighting | None:
        """What was seen at the address, if that needs no asking."""
        sighting = self.sightings.get(source)
        return sighting if sighting and self.sightings.believable(source, sighting) else None

    async def _image(
        self, source: Source, urgency: Urgency, steps: Steps, *, ask: bool = False
    ) -> tuple[PreparedImage, Outcome, bool]:
        """ask: whether the address still has what was seen there. The last value: whether the file came anew."""
        sighting = None if ask else self._believed(source)
        if sighting and (image := self.memory.get(self._key(sighting.content))):
            self._count("memory")
            return image, "memory", False
        name = (source.identity, ask)
        work = self._working.get(name)
        if work is None:
            work = _Work(urgency)
            return await self._join(name, work, self._make(work, source, sighting, steps)), work.outcome, work.fetched
        work.claim.raise_to(urgency)
        return await asyncio.shield(work.task), work.outcome, work.fetched

    async def _join(
        self, name: tuple[str, bool], work: _Work, make: Coroutine[Any, Any, PreparedImage]
    ) -> PreparedImage:
        """Starts the work. A caller that gives up does not stop it for the others."""
        work.task = asyncio.create_task(self._finish(name, work, make))
        self._working[name] = work
        work.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(work.task)

    async def _finish(
        self, name: tuple[str, bool], work: _Work, make: Coroutine[Any, Any, PreparedImage]
    ) -> PreparedImage:
        try:
            image = await make
        finally:
            if self._working.get(name) is work:
                del self._working[name]
        self._count(work.outcome)
        if work.claim.urgency < Urgency.PREWARM or not self.disk.enabled:
            self.memory.put(image)
        return image

    async def _make(self, work: _Work, source: Source, believed: Sighting | None, steps: Steps) -> PreparedImage:
        if believed and (image := await self._stored(self._key(believed.content), work, steps)):
            return image
        known = self.sightings.get(source)
        if known and not self._holds(self._key(known.content), on_disk=True):
            known = None  # an answer that nothing changed would leave us without the file
        async with self._slots.hold(work.claim):
            source = await _located(source)
            with steps.measure("fetch"):
                fetched = await self._fetcher.fetch(source, known.validators if known else ())
            if fetched is not None:
                work.fetched = True
                content = await asyncio.to_thread(content_hash, fetched.data)
                self.sightings.saw(source, content, fetched.validators)
                return await self._of_file(self._key(content), fetched.data, work, steps)
        assert known is not None
        self.sightings.confirm(source, known)
        if image := await self._stored(self._key(known.content), work, steps):
            return image
        self.sightings.forget(source)
        return await self._make(work, source, None, steps)

    async def _of_file(self, key: Key, data: bytes, work: _Work, steps: Steps) -> PreparedImage:
        if image := await self._stored(key, work, steps):
            return image
        if other := self._encoding.get(key):
            other.claim.raise_to(work.claim.urgency)
            work.claim.on_raise(other.claim.raise_to)
            image = await asyncio.shield(other.task)
            work.outcome = "memory"
            return image
        self._encoding[key] = work
        try:
            with steps.measure("decode_image"):
                pixels, width, height = await self._device.beside(self._pixels, data)
            del data
            with steps.measure("encode"):
                prepared = await self._device.encode(pixels, work.claim)
        finally:
            del self._encoding[key]
        image = PreparedImage(key, prepared, width, height)
        self._store_behind(image, work)
        return image

    def _pixels(self, data: bytes) -> tuple[Pixels, int, int]:
        """The model's input, and the upright image's width and height. Blocks."""
        upright = read_image(data, self._limits.image_pixels)
        return self._engine.pixels(upright.pixels), upright.width, upright.height

    async def _stored(self, key: Key, work: _Work, steps: Steps) -> PreparedImage | None:
        if image := self.memory.get(key) or self._unwritten.get(key):
            work.outcome = "memory"
            return image
        if not self.disk.has(key):
            return None
        with steps.measure("read"):
            stored = await asyncio.to_thread(self.disk.read, key)
        if stored is None:
            return None
        try:
            with steps.measure("restore"):
                prepared = await self._device.restore(stored.embedding, work.claim)
        except ValueError as error:
            log.warning("Dropped a stored embedding that the engine does not take: %s", error)
            await asyncio.to_thread(self.disk.drop, key)
            return None
        work.outcome = "disk"
        return PreparedImage(key, prepared, stored.width, stored.height)

    def _store_behind(self, image: PreparedImage, work: _Work) -> None:
        """Behind a disk that is slower than annotators an image stays in memory alone."""
        if not self.disk.enabled:
            return
        if len(self._behind) >= MOST_BEHIND and work.claim.urgency < Urgency.PREWARM:
            log.warning("The disk of CACHE_DIR is too slow: an image embedding is kept in memory only")
            return

        async def store() -> None:
            if work.claim.urgency == Urgency.CLICK:
                await asyncio.sleep(CLICK_SECONDS)
            try:
                embedding = await self._device.export(image.prepared)
                await asyncio.to_thread(self.disk.write, image.key, StoredImage(embedding, image.width, image.height))
            except Exception:
                log.exception("An image embedding could not be stored")
            finally:
                del self._unwritten[image.key]

        self._unwritten[image.key] = image
        task = asyncio.create_task(store())
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    def _count(self, outcome: Outcome) -> None:
        self.counts[outcome] += 1
        self._metrics.lookups.labels(outcome).inc()

    def _count_eviction(self, tier: str) -> None:
        self.counts["evictions"] += 1
        self._metrics.evictions.labels(tier).inc()


async def _located(source: Source) -> Source:
    """A network's file system may take its time: nobody else waits for it."""
    return source if source.folder is None else await asyncio.to_thread(mounted, source)


def _memory_limit(engine: Engine, wanted: int) -> int:
    """CACHE_MEMORY_BYTES, or what the device has left beside the model."""
    room = engine.room
    if room is None or room >= wanted:
        return wanted
    log.warning(
        "CACHE_MEMORY_BYTES=%d, but %s has room for %d bytes of embeddings beside the model: that is the limit now",
        wanted,
        engine.info.device,
        room,
    )
    return room
