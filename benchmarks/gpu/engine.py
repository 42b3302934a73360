"""The engine alone: what an encode and a decode take, beside SAM 2's own modules in the same process.

*Upstream* is what SAM2ImagePredictor runs under `torch.autocast`, as its README says to, without the copies and the
resizing around it.
"""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.lane import Lane
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import drawn_image
from sam2_backend.engine.torch_engine import TorchEngine
from serving import milliseconds

from benchmarks.gpu.common import POINT, Table, device_of, make_model, on_device

BATCHES = (1, 4, 8)


def run(asked: Namespace) -> None:
    device, times = device_of(asked), 3 if asked.quick else 30
    columns = ("model", "what", "encode ms, device", "decode ms, device", "encode ms, call", "click ms, call")
    table = Table(asked, "engine", columns)
    for size in asked.sizes:
        model = make_model(size)
        for precision in ("bf16",) if asked.quick else ("bf16", "f16"):
            engine = TorchEngine(model, device, precision=precision)
            table.row(size, f"ours, {precision}", *_ours(engine, times))
            if asked.profile and precision == "bf16":
                _profile(asked, engine, size)
        if asked.compiled:
            engine = TorchEngine(model, device, precision="bf16", compiled=True)
            table.row(size, "ours, bf16, compiled", *_ours(engine, times))
        upstream = copy.deepcopy(model).to(device)
        table.row(size, "upstream, bf16, eager", *_upstream(upstream, times))
        if asked.compiled:
            upstream.image_encoder.forward = torch.compile(
                upstream.image_encoder.forward, mode="max-autotune", fullgraph=True, dynamic=False
            )
            table.row(size, "upstream, bf16, encoder compiled", *_upstream(upstream, times))
    _batches(asked, times)


def _ours(engine: TorchEngine, times: int) -> tuple[float, ...]:
    image = drawn_image(768, 1024)
    prepared = engine.encode(image)
    engine.best_mask(prepared, POINT)
    return (
        on_device(engine._encodes, engine._embeds[1].run, times),
        on_device(engine._clicks, engine._decodes[8].run, times),
        median(milliseconds(lambda _: engine.encode(image), times)),
        median(milliseconds(lambda _: engine.best_mask(prepared, POINT), times)),
    )


def _upstream(model: SAM2Base, times: int) -> tuple[float, ...]:
    engine, lane, image = ReferenceEngine(model), Lane(model.device), drawn_image(768, 1024)
    side = model.image_size
    pixels = torch.zeros(1, 3, side, side, device=model.device)

    def under_autocast(action: Callable[[], Any]) -> Any:
        with torch.autocast(model.device.type, torch.bfloat16), torch.inference_mode():
            return action()

    def encode() -> Any:
        return under_autocast(lambda: engine.encode(image))

    def decode() -> Any:
        return under_autocast(partial(engine.decode, features, POINT))

    features = encode()
    for _ in range(3):
        encode(), decode()
    return (
        on_device(lane, lambda: under_autocast(lambda: model.forward_image(pixels)), times),
        on_device(lane, decode, times),
        median(milliseconds(lambda _: encode(), times)),
        median(milliseconds(lambda _: decode(), times)),
    )


def _batches(asked: Namespace, times: int) -> None:
    print()
    table = Table(asked, "batches", ("model", "images at once", "encode ms, device", "images a second"))
    for size in asked.sizes:
        model = make_model(size)
        for batch in BATCHES:
            engine = TorchEngine(model, device_of(asked), precision="bf16", batch=batch)
            milliseconds = on_device(engine._encodes, engine._embeds[batch].run, times)
            table.row(size, batch, milliseconds, 1000 * batch / milliseconds)


def _profile(asked: Namespace, engine: TorchEngine, size: str) -> None:
    """The kernels of an encode and of a decode, the longest first, in microseconds a run."""
    activity = torch.profiler.ProfilerActivity
    for name, lane, graph in (
        ("encode", engine._encodes, engine._embeds[1]),
        ("decode", engine._clicks, engine._decodes[8]),
    ):
        with torch.profiler.profile(activities=[activity.CPU, activity.CUDA]) as profiler, lane.work():
            for _ in range(5):
                graph.run()
        kernels = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
        rows = [
            {"us": event.self_device_time_total / 5, "count": event.count / 5, "name": event.key}
            for event in kernels
            if event.self_device_time_total
        ]
        (asked.out / f"profile-{size}-{name}.json").write_text(json.dumps(rows, indent=1))
        print(f"\n{size} {name}: {sum(row['us'] for row in rows):.0f} us in {sum(row['count'] for row in rows):.0f}")
        for row in rows[:24]:
            print(f"{row['us']:9.1f} us {row['count']:6.1f}x {str(row['name'])[:110]}")
