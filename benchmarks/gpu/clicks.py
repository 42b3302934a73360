"""A click over HTTP, the image being a file of the machine: warm, its image seen before, and cold, not seen before."""

from __future__ import annotations

import statistics
from argparse import Namespace

from serving import Annotator, milliseconds, percentile

from benchmarks.gpu.common import Table
from benchmarks.gpu.servers import Bench, serving

IMAGES = ((1024, 768), (4000, 3000))


def run(asked: Namespace) -> None:
    columns = (
        "model",
        "mask",
        "image",
        "warm ms",
        "p95",
        "cold ms",
        "p95 cold",
        "steps of a warm one, ms",
        "of a cold one",
    )
    table = Table(asked, "clicks", columns)
    for size in asked.sizes:
        for mask, smooth in (("smooth", "1"), ("ragged", "")):
            if mask == "ragged" and (asked.quick or size == "demo"):
                continue
            with serving(asked, size, PROVOKE_SMOOTH=smooth) as bench:
                for width, height in IMAGES[: 1 if asked.quick else 2]:
                    table.row(size, mask, f"{width}x{height}", *_measure(asked, bench, width, height))


def _measure(asked: Namespace, bench: Bench, width: int, height: int) -> tuple[object, ...]:
    times = 3 if asked.quick else 40
    annotator = Annotator(bench.server)
    name = bench.new_image(width, height)
    names = [bench.new_image(width, height) for _ in range(times)]
    for turn in range(3):
        bench.click(annotator, name, turn, width, height)
    warm = milliseconds(lambda turn: bench.click(annotator, name, turn, width, height), times)
    steps = [_steps(bench)]
    cold = milliseconds(lambda turn: bench.click(annotator, names[turn], turn, width, height), times)
    steps.append(_steps(bench))
    median = statistics.median
    return median(warm), percentile(warm, 95), median(cold), percentile(cold, 95), *steps


def _steps(bench: Bench) -> str:
    taken = bench.server.get("/status").json()["last_click"]["milliseconds"]
    return ", ".join(f"{step} {value:.1f}" for step, value in taken.items())
