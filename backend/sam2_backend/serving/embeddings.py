"""An image's address → its prepared embedding: from memory, from disk, or fetched, decoded and encoded.

Equal work is done once: requests for one address share the fetch, requests for one content share the encode, and an
urgent request pulls a shared encode forward. Decoded images, the largest things in the process, are counted: a few at a
time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

from sam2_backend.engine.interface import Engine, EngineOutOfMemory, Prepared
from sam2_backend.images.decode import read_image
from sam2_backend.images.fetch import Fetcher
from sam2_backend.images.sources import Source
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem
from sam2_backend.serving.queue import DeviceQueue, Job, Urgency
from sam2_backend.serving.store.disk import DiskTier
from sam2_backend.serving.store.file_format import StoredImage
from sam2_backend.serving.store.key import Key, content_hash, engine_hash
from sam2_backend.serving.store.memory import MemoryTier, PreparedImage
from sam2_backend.serving.store.sightings import Sighting, Sightings, stamp_of
from sam2_backend.settings import Settings
from sam2_backend.steps import Steps

log = logging.getLogger(__name__)
T = TypeVar("T")
Outcome = Literal["memory", "disk", "miss"]
DECODED_AT_ONCE = 2


class _Preparation:
    """One image on its way, with everybody who waits for it."""

    def __init__(self, urgency: Urgency) -> None:
        self.urgency = urgency
        self.job: Job[Any] | None = None
        self.outcome: Outcome = "miss"
        self.task: asyncio.Task[PreparedImage]


class Embeddings:
    """Used from the event loop only; what blocks runs in threads and lanes."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        fetcher: Fetcher,
        encoder: DeviceQueue,
        decoder: DeviceQueue,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._engine_hash = engine_hash(engine.info.fingerprint)
        self._limits = settings.limits
        self._fetcher = fetcher
        self._encoder = encoder
        self._decoder = decoder
        self._metrics = metrics
        self._sightings = Sightings()
        self._fetching: dict[str, asyncio.Task[tuple[Sighting, bytes | None]]] = {}
        self._preparing: dict[Key, _Preparation] = {}
        self._behind: set[asyncio.Task[None]] = set()
        self._slots = {
            Urgency.CLICK: asyncio.Semaphore(DECODED_AT_ONCE),
            Urgency.PREWARM: asyncio.Semaphore(DECODED_AT_ONCE),
        }
        self.counts = {"memory": 0, "disk": 0, "miss": 0, "evictions": 0}
        self.memory = MemoryTier(settings.cache_memory_bytes, lambda: self._count_eviction("memory"))
        self.disk = DiskTier(
            settings.cache_dir,
            settings.cache_disk_bytes,
            lambda: self._count_eviction("disk"),
            metrics.dropped.inc,
        )

    async def get(
        self, source: Source, urgency: Urgency, steps: Steps, frame: tuple[int, int] = (0, 0)
    ) -> tuple[PreparedImage, Outcome]:
        """frame: width and height that the editor showed, (0, 0) if not told. Raises Problem."""
        sighting, data = await self._sight(source, urgency, steps)
        image, outcome = await self._prepared(source, sighting, data, urgency, steps)
        if data is None and 0 not in frame and frame != (image.width, image.height) and not _certain(source):
            # The editor shows another size than we remember: the image behind the address was replaced.
            sighting, data = await self._sight(source, urgency, steps, ask=True)
            image, outcome = await self._prepared(source, sighting, data, urgency, steps)
        return image, outcome

    async def put(self, data: bytes, steps: Steps) -> PreparedImage:
        """An image file that came with a request. Raises Problem."""
        content = await asyncio.to_thread(content_hash, data)
        sighting = Sighting(content, None, (), time.monotonic())
        image, _ = await self._prepared(Source(f"sha256:{content}"), sighting, data, Urgency.CLICK, steps)
        return image

    async def of_content(self, content: str, steps: Steps) -> PreparedImage:
        """An image that `put` has seen. Raises Problem (410) if it is in the store no more."""
        key = Key(content, self._engine_hash)
        if self.memory.get(key) is None and not self.disk.has(key):
            raise Problem(410, "ui", "The image has left the cache: load it again.")
        sighting = Sighting(content, None, (), time.monotonic())
        image, _ = await self._prepared(Source(f"sha256:{content}"), sighting, None, Urgency.CLICK, steps)
        return image

    async def keep(self, source: Source, urgency: Urgency) -> bool:
        """Prepares an image that nobody waits for. False if it was in the store already. Raises Problem."""
        sighting, data = await self._sight(source, urgency, Steps())
        key = Key(sighting.content, self._engine_hash)
        if self.memory.get(key) or (urgency == Urgency.PREWARM and self.disk.has(key)):
            return False
        _, outcome = await self._prepared(source, sighting, data, urgency, Steps())
        return outcome == "miss"

    def known(self, source: Source) -> bool:
        """Whether a click on this address would find its embedding in memory or on disk, as far as is known."""
        sighting = self._sightings.get(source)
        if sighting is None or not self._sightings.believable(source, sighting):
            return False
        key = Key(sighting.content, self._engine_hash)
        return self.memory.get(key) is not None or self.disk.has(key)

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
        """Waits for embeddings that are still being written."""
        if self._behind:
            await asyncio.wait(self._behind, timeout=self._limits.drain_seconds)

    async def _sight(
        self, source: Source, urgency: Urgency, steps: Steps, *, ask: bool = False
    ) -> tuple[Sighting, bytes | None]:
        """Content at the address, and the file itself if it had to be fetched."""
        sighting = self._sightings.get(source)
        if sighting and not ask and self._sightings.believable(source, sighting):
            return sighting, None
        with steps.measure("fetch"):
            return await _shared(self._fetching, source.identity, lambda: self._fetch(source, sighting))

    async def _fetch(self, source: Source, known: Sighting | None) -> tuple[Sighting, bytes | None]:
        stamp = stamp_of(source)
        fetched = await self._fetcher.fetch(source, known.validators if known else ())
        if fetched is None:
            assert known is not None
            self._sightings.confirm(source, known)
            return known, None
        content = await asyncio.to_thread(content_hash, fetched.data)
        sighting = Sighting(content, stamp, fetched.validators, time.monotonic())
        self._sightings.put(source, sighting)
        return sighting, fetched.data

    async def _prepared(
        self, source: Source, sighting: Sighting, data: bytes | None, urgency: Urgency, steps: Steps
    ) -> tuple[PreparedImage, Outcome]:
        key = Key(sighting.content, self._engine_hash)
        if image := self.memory.get(key):
            self._count("memory")
            return image, "memory"
        preparation = self._preparing.get(key)
        if preparation is None:
            preparation = _Preparation(urgency)
            preparation.task = asyncio.create_task(self._prepare(key, source, data, preparation, steps))
            self._preparing[key] = preparation
            preparation.task.add_done_callback(lambda _: self._preparing.pop(key, None))
        elif urgency < preparation.urgency:
            preparation.urgency = urgency
            if preparation.job:
                self._encoder.hurry(preparation.job, urgency)
        image = await asyncio.shield(preparation.task)
        return image, preparation.outcome

    async def _prepare(
        self, key: Key, source: Source, data: bytes | None, preparation: _Preparation, steps: Steps
    ) -> PreparedImage:
        image = await self._from_disk(key, preparation, steps) if self.disk.has(key) else None
        if image is None:
            image = await self._encode(key, source, data, preparation, steps)
        self._count(preparation.outcome)
        if preparation.urgency < Urgency.PREWARM or not self.disk.enabled:
            self.memory.put(image)
        return image

    async def _from_disk(self, key: Key, preparation: _Preparation, steps: Steps) -> PreparedImage | None:
        with steps.measure("read"):
            stored = await asyncio.to_thread(self.disk.read, key)
        if stored is None:
            return None
        try:
            with steps.measure("restore"):
                prepared = await self._on_device(
                    self._decoder, lambda: self._engine.restore(stored.embedding), preparation
                )
        except ValueError as error:
            log.warning("Dropped a stored embedding that the engine does not take: %s", error)
            await asyncio.to_thread(self.disk.drop, key)
            return None
        preparation.outcome = "disk"
        return PreparedImage(key, prepared, stored.width, stored.height)

    async def _encode(
        self, key: Key, source: Source, data: bytes | None, preparation: _Preparation, steps: Steps
    ) -> PreparedImage:
        if data is None:
            with steps.measure("fetch"):
                fetched = await self._fetcher.fetch(source)
            assert fetched is not None
            data = fetched.data
            key = Key(await asyncio.to_thread(content_hash, data), self._engine_hash)
        async with self._slots[Urgency.PREWARM if preparation.urgency == Urgency.PREWARM else Urgency.CLICK]:
            with steps.measure("decode_image"):
                upright = await asyncio.to_thread(read_image, data, self._limits.image_pixels)
            del data
            with steps.measure("encode"):
                prepared = await self._on_device(
                    self._encoder, lambda: self._engine.encode(upright.pixels), preparation
                )
            width, height = upright.width, upright.height
        self._store_behind(key, prepared, width, height)
        return PreparedImage(key, prepared, width, height)

    async def _on_device(self, lane: DeviceQueue, run: Callable[[], Prepared], preparation: _Preparation) -> Prepared:
        def submit() -> Job[Prepared]:
            preparation.job = lane.submit(run, preparation.urgency)
            return preparation.job

        return await self.with_room(submit)

    async def with_room(self, submit: Callable[[], Job[T]]) -> T:
        """The job's result; submitted once more, after dropping what is in memory, if the device has no room."""
        for attempt in (1, 2):
            try:
                return await asyncio.wrap_future(submit().future)
            except EngineOutOfMemory:
                log.warning("The device is out of memory (attempt %d)", attempt)
                self.memory.clear()
        raise Problem(
            503,
            "device",
            "The device is out of memory even after all cached images were dropped: use a smaller model, or free "
            "memory that other processes hold on it.",
            retry_after=10,
        )

    def _store_behind(self, key: Key, prepared: Prepared, width: int, height: int) -> None:
        async def store() -> None:
            try:
                job = self._encoder.submit(lambda: self._engine.export(prepared), Urgency.OPENED)
                embedding = await asyncio.wrap_future(job.future)
                await asyncio.to_thread(self.disk.write, key, StoredImage(embedding, width, height))
            except Exception:
                log.exception("An image embedding could not be stored")

        if self.disk.enabled:
            task = asyncio.create_task(store())
            self._behind.add(task)
            task.add_done_callback(self._behind.discard)

    def _count(self, outcome: Outcome) -> None:
        self.counts[outcome] += 1
        self._metrics.lookups.labels(outcome).inc()

    def _count_eviction(self, tier: str) -> None:
        self.counts["evictions"] += 1
        self._metrics.evictions.labels(tier).inc()


def _certain(source: Source) -> bool:
    """Addresses whose remembered content cannot be out of date."""
    return source.immutable or source.path is not None


async def _shared(running: dict[str, asyncio.Task[T]], name: str, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Joins the task of this name, or starts it. A caller that gives up does not stop it for the others."""
    task = running.get(name)
    if task is None:
        task = running[name] = asyncio.create_task(start())
        task.add_done_callback(lambda _: running.pop(name, None))
    return await asyncio.shield(task)
