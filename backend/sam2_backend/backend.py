"""The running backend: settings, the model once it is loaded, and everything that serves clicks with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sam2_backend.engine.converted import interrupt
from sam2_backend.history.file import HistoryFile
from sam2_backend.history.recorder import Recorder
from sam2_backend.images.credentials import Credentials
from sam2_backend.images.fetch import Fetcher
from sam2_backend.images.sources import origin_of
from sam2_backend.jobs import Jobs, ToldJob
from sam2_backend.label_studio.ahead import Ahead
from sam2_backend.label_studio.api import Api
from sam2_backend.label_studio.masks import MaskMaker
from sam2_backend.label_studio.predictions import Predictions
from sam2_backend.label_studio.projects import Projects
from sam2_backend.logs import fields
from sam2_backend.metrics import Metrics
from sam2_backend.model.loading import LoadedModel, ModelRefused, load
from sam2_backend.problems import Problem, ProblemLog
from sam2_backend.serving.device import Device
from sam2_backend.serving.embeddings import Embeddings
from sam2_backend.serving.gate import ClickGate
from sam2_backend.serving.inference import Inference
from sam2_backend.serving.predict import Predictor
from sam2_backend.serving.prewarm import Prewarmer
from sam2_backend.settings import Settings
from sam2_backend.versions import versions

log = logging.getLogger(__name__)
# More than images ahead and clicks ever take, so that no click waits for a thread.
THREADS = 64


@dataclass(slots=True)
class Serving:
    """What exists once a model can predict."""

    model: LoadedModel
    inference: Inference
    masks: MaskMaker
    ahead: Ahead
    predictions: Predictions


class Backend:
    """state: `loading`, `ready` or `failed`; reason: why it failed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.problems = ProblemLog(self.metrics)
        self.recorder = Recorder(self.metrics, self.refresh_gauges, HistoryFile(settings.cache_dir))
        self.jobs = Jobs()
        home = origin_of(settings.label_studio_url) if settings.label_studio_url else ""
        self.credentials = Credentials(settings.label_studio_api_key, home)
        self.projects = Projects(settings, self.credentials)
        self.state = "loading"
        self.reason = ""
        self.serving: Serving | None = None
        self.fatal: Exception | None = None
        # Set once nothing can be served any more: the process is to end.
        self.ended = asyncio.Event()
        self._settled = asyncio.Event()
        self._resources = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Returns at once; the model loads in a thread."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "work"))
        self._fetcher = await self._resources.enter_async_context(Fetcher(self.settings.limits, self.credentials))
        self._loading = asyncio.create_task(self._load())
        self.recorder.start()

    async def stop(self) -> None:
        """After the last request was answered: stop prewarming, finish writing, let the device go."""
        self._loading.cancel()
        interrupt()
        await self.recorder.stop()
        if self.serving:
            await self.serving.ahead.stop()
            await self.serving.inference.prewarmer.stop()
            await self.serving.inference.embeddings.close()
            await asyncio.to_thread(self.serving.inference.device.close)
        await self._resources.aclose()
        log.info("stopped")

    async def ready(self) -> Serving:
        """Waits for a loading model as long as an annotator may be kept waiting. Raises Problem (503)."""
        if not self._settled.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), self.settings.limits.loading_seconds)
        if self.state == "failed":
            raise Problem(503, "model", f"The SAM2 model is not served: {self.reason}")
        if self.serving:
            return self.serving
        raise Problem(503, "model", "The SAM2 model is still loading: try again in a moment.", retry_after=5)

    def health(self) -> tuple[int, dict[str, Any]]:
        """HTTP status and body."""
        if self.serving and self.state == "ready":
            info = self.serving.model.engine.info
            return 200, {
                "status": "UP",
                "model_class": "SAM2",
                "model": info.model,
                "engine": info.name,
                "device": info.device,
            }
        return 503, {"status": self.state.upper(), "reason": self.reason or "The model is loading."}

    def status(self) -> dict[str, Any]:
        """The body of /status."""
        serving, settings = self.serving, self.settings
        embeddings = serving.inference.embeddings if serving else None
        return {
            "state": self.state,
            "reason": self.reason,
            "model": serving.model.describe() if serving else None,
            "engine": serving.model.describe_engine() if serving else None,
            "versions": versions(),
            "cache": embeddings.describe() if embeddings else None,
            "queue": {
                "depth": serving.inference.gate.count if serving else 0,
                "limit": settings.limits.interactive,
                "prewarm": serving.inference.prewarmer.depth if serving else 0,
            },
            "ahead": serving.ahead.describe() if serving else None,
            "jobs": [job.described(name) for name, job in self._running().items()],
            "last_click": serving.predictions.last_click if serving else None,
            "projects": self.projects.numbers(),
            "last_errors": self.problems.last(),
        }

    def refresh_gauges(self) -> None:
        """Before /metrics is read."""
        self.metrics.ready.set(1 if self.serving else 0)
        self.metrics.jobs.clear()
        for name, job in self._running().items():
            for word in ("total", "done", "failed"):
                self.metrics.jobs.labels(name, word).set(getattr(job, word))
        if not self.serving:
            return
        embeddings = self.serving.inference.embeddings
        for tier, store in (("memory", embeddings.memory), ("disk", embeddings.disk)):
            self.metrics.cache_bytes.labels(tier).set(store.bytes)
            self.metrics.cache_entries.labels(tier).set(len(store))
        self.metrics.queue.labels("interactive").set(self.serving.inference.gate.count)
        self.metrics.queue.labels("encode").set(self.serving.inference.device.depth)
        self.metrics.queue.labels("prewarm").set(self.serving.inference.prewarmer.depth)
        self.metrics.device_memory.set(self.serving.model.device_memory())

    def _running(self) -> dict[str, ToldJob]:
        return self.jobs.running() | (self.serving.inference.prewarmer.jobs() if self.serving else {})

    async def _load(self) -> None:
        try:
            model = await asyncio.to_thread(load, self.settings)
            self.serving = await self._serve(model)
            self.state = "ready"
            if model.refused:
                self.problems.remember("model", f"A slower precision is served: {model.refused}")
            log.info("ready", extra=fields(model=model.describe(), engine=model.describe_engine()))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.state, self.reason, self.fatal = "failed", " ".join(str(error).split()) or type(error).__name__, error
            self.problems.remember("model", self.reason)
            unexpected = None if isinstance(error, ModelRefused) else error
            log.error("The model could not be loaded", exc_info=unexpected, extra=fields(reason=self.reason))
            self.ended.set()
        finally:
            self._settled.set()

    def _lose(self, reason: str) -> None:
        """The device is lost: nothing is served any more, and the process ends so that another may begin."""
        self.state, self.reason = "failed", reason
        self.problems.remember("device", reason)
        self.ended.set()

    async def _serve(self, model: LoadedModel) -> Serving:
        device = Device(model.engine, overlaps=model.overlaps, lost=self._lose)
        embeddings = Embeddings(model.engine, device, self.settings, self._fetcher, self.metrics)
        await asyncio.to_thread(embeddings.disk.open)
        gate = ClickGate(self.settings.limits.interactive, self.settings.limits.predict_seconds)
        prewarmer = Prewarmer(embeddings, self.settings.limits, self.metrics, self.problems, gate)
        prewarmer.start()
        info = model.engine.info
        inference = Inference(info.model, device, embeddings, Predictor(device), prewarmer, gate)
        masks = MaskMaker(self.settings, self.projects, inference, self.metrics)
        api = Api(self._fetcher, self.credentials)
        ahead = Ahead(self.projects, api, inference, self.metrics, self.problems)
        predictions = Predictions(self.settings, self.projects, inference, masks, ahead, self.metrics, self.problems)
        self.metrics.model.labels(info.model, info.name, info.device, info.precision).set(1)
        self.metrics.slower.set(1 if model.refused else 0)
        return Serving(model, inference, masks, ahead, predictions)
