"""What the machine is, and the two ceilings of the card: bytes and products a second."""

from __future__ import annotations

import os
import platform
from argparse import Namespace
from pathlib import Path

import torch
from sam2_backend.engine.lane import Lane

from benchmarks.gpu.common import Table, device_of, on_device


def run(asked: Namespace) -> None:
    device = device_of(asked)
    table = Table(asked, "machine", ("what", "value"))
    table.row("Python, PyTorch, CUDA", f"{platform.python_version()}, {torch.__version__}, {torch.version.cuda}")
    table.row("cores", os.cpu_count())
    side = 1024 if asked.quick else 8192
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        table.row("card", properties.name)
        table.row("driver", _driver())
        table.row("memory MiB", properties.total_memory >> 20)
        table.row("compute capability", f"{properties.major}.{properties.minor}")
    lane = Lane(device)
    with lane.work():
        left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(2):
        milliseconds = on_device(lane, lambda: left @ right, 5)
    table.row(f"bf16 product {side}³ TFLOP/s", 2 * side**3 / milliseconds / 1e9)
    milliseconds = on_device(lane, lambda: right.copy_(left), 5)
    table.row("copy on the device GB/s, read and written", 2 * left.nbytes / milliseconds / 1e6)
    sent = lane.host_buffer(side * side, kind=torch.bfloat16).view(side, side)
    milliseconds = on_device(lane, lambda: left.copy_(sent, non_blocking=True), 5)
    table.row("host to device GB/s", left.nbytes / milliseconds / 1e6)


def _driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].split("  ")[1]
    except (OSError, IndexError):
        return "unknown"
