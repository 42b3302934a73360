"""The metrics, as they stand, as a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from sam2_backend.history.minute import BUCKETS, Minute

# Of `sam2_problems_total`: an image that does not come, and a password that is wrong, fail whoever clicks.
FAULTS = ("auth", "fetch")
UNKNOWN_ADDRESS = "404"
Labels = Mapping[str, str]


def reading(registry: CollectorRegistry, at: int) -> Minute:
    """Counts since the process began. Reads what is counted anyway, and takes a millisecond or two."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]

    def total(name: str, counts: Callable[[Labels], bool] = lambda _: True) -> int:
        return int(sum(sample.value for sample in samples if sample.name == name and counts(sample.labels)))

    def is_fault(labels: Labels) -> bool:
        return int(labels["status"]) >= 500 or labels["where"] in FAULTS

    clicks = {
        float(sample.labels["le"]): int(sample.value)
        for sample in samples
        if sample.name == "sam2_step_seconds_bucket" and sample.labels["step"] == "total"
    }
    upto = [clicks[bound] for bound in sorted(clicks)] or [0] * BUCKETS
    return Minute(
        at=at,
        prepared=total("sam2_clicks_total", lambda labels: labels["cache"] != "miss"),
        unprepared=total("sam2_clicks_total", lambda labels: labels["cache"] == "miss"),
        failed=total("sam2_problems_total", is_fault),
        refused=total(
            "sam2_problems_total", lambda labels: labels["status"] != UNKNOWN_ADDRESS and not is_fault(labels)
        ),
        seconds=tuple(one - other for one, other in zip(upto, [0, *upto], strict=False)),
        encoded=total("sam2_cache_lookups_total", lambda labels: labels["outcome"] == "miss"),
        ready=bool(total("sam2_ready")),
        clicking=total("sam2_queue_depth", lambda labels: labels["class"] == "interactive"),
        encoding=total("sam2_queue_depth", lambda labels: labels["class"] == "encode"),
        memory=total("process_resident_memory_bytes"),
        device_memory=total("sam2_device_memory_bytes"),
    )
