"""What `/metrics` tells Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

# Upper bounds of the histogram's buckets.
CLICK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30, 90)


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.clicks = Counter(
            "sam2_clicks", "Interactive requests by where the embedding came from.", ["cache"], registry=registry
        )
        self.steps = Histogram(
            "sam2_step_seconds", "Time of each step of a click.", ["step"], buckets=CLICK_SECONDS, registry=registry
        )
        self.problems = Counter("sam2_problems", "Answers that are not a mask.", ["where", "status"], registry=registry)
        self.requests = Counter(
            "sam2_http_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self.lookups = Counter(
            "sam2_cache_lookups", "Image-embedding lookups by outcome.", ["outcome"], registry=registry
        )
        self.evictions = Counter(
            "sam2_cache_evictions", "Embeddings dropped to make room.", ["tier"], registry=registry
        )
        self.dropped = Counter("sam2_cache_dropped", "Corrupt or foreign cache files removed.", registry=registry)
        self.cache_bytes = Gauge("sam2_cache_bytes", "Bytes of image embeddings.", ["tier"], registry=registry)
        self.cache_entries = Gauge("sam2_cache_entries", "Image embeddings.", ["tier"], registry=registry)
        self.queue = Gauge("sam2_queue_depth", "Work waiting or running.", ["class"], registry=registry)
        self.prewarmed = Counter("sam2_prewarmed", "Prewarmed images by outcome.", ["outcome"], registry=registry)
        self.opened = Counter(
            "sam2_opened_tasks",
            "Tasks that annotators opened, by whether their images were embedded already.",
            ["embedding"],
            registry=registry,
        )
        self.masks = Counter(
            "sam2_masks_of_boxes",
            "Boxes and key points of tasks by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self.jobs = Gauge(
            "sam2_job_tasks",
            "Tasks of each job, or images of a project that is prewarmed: done and failed of the total are over.",
            ["job", "tasks"],
            registry=registry,
        )
        self.device_memory = Gauge("sam2_device_memory_bytes", "Memory in use on the device.", registry=registry)
        self.model = Gauge(
            "sam2_model_info", "Always 1.", ["model", "engine", "device", "precision"], registry=registry
        )
        self.slower = Gauge(
            "sam2_precision_refused", "1 where a faster precision failed its self-check.", registry=registry
        )
        self.ready = Gauge("sam2_ready", "1 once a model can predict.", registry=registry)

    def render(self) -> bytes:
        return generate_latest(self.registry)
