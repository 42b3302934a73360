"""What the steps share: models, timing on the device, tables."""

from __future__ import annotations

import functools
import json
import statistics
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.demo import CHECKPOINT as DEMO_CHECKPOINT
from sam2_backend.demo import CONFIG as DEMO_CONFIG
from sam2_backend.engine.build import build_model
from sam2_backend.engine.interface import Prompt
from sam2_backend.engine.lane import Lane
from sam2_backend.engine.select import config_path
from serving import milliseconds

POINT = Prompt(np.array([[0.26, 0.4]], np.float32), np.array([1], np.int32))


def config_of(size: str) -> Path:
    return DEMO_CONFIG if size == "demo" else config_path(f"configs/sam2.1/sam2.1_hiera_{size}.yaml")


@functools.cache
def make_model(size: str) -> SAM2Base:
    """float32 on the CPU. Official sizes with random weights: the time is the same, and no weights can be fetched."""
    torch.manual_seed(0)
    model = build_model(config_of(size), DEMO_CHECKPOINT if size == "demo" else None)
    if size != "demo":  # zero as they come, which would hide a wrong order
        trunk = model.image_encoder.trunk
        for embedding in (trunk.pos_embed, trunk.pos_embed_window):
            torch.nn.init.trunc_normal_(embedding, std=0.02)
    return model


def checkpoint_of(size: str, folder: Path) -> Path:
    if size == "demo":
        return DEMO_CHECKPOINT
    path = folder / f"random_{size}.pt"
    if not path.exists():
        torch.save({"model": make_model(size).state_dict()}, path)
    return path


def device_of(asked: Namespace) -> torch.device:
    return torch.device(asked.device)


def on_device(lane: Lane, action: Callable[[], Any], times: int) -> float:
    """Median milliseconds that the device takes for what `action` asks of it; on the CPU, that it takes."""
    with lane.work():
        if lane.stream is None:
            return statistics.median(milliseconds(lambda _: action(), times))
        return statistics.median([_on_gpu(action) for _ in range(times)])


def _on_gpu(action: Callable[[], Any]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    action()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


class Table:
    """Rows are printed as they come, in Markdown, and kept as JSON."""

    def __init__(self, asked: Namespace, name: str, columns: Iterable[str]) -> None:
        self._path = asked.out / f"{name}.json"
        self._columns = list(columns)
        self._rows: list[dict[str, Any]] = []
        print("| " + " | ".join(self._columns) + " |\n|" + "---|" * len(self._columns), flush=True)

    def row(self, *values: object) -> None:
        self._rows.append(dict(zip(self._columns, values, strict=True)))
        print("| " + " | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values) + " |")
        self._path.write_text(json.dumps(self._rows, indent=1))
