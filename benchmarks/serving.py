"""What the benchmarks share: a real server process, its model, and images to ask it about."""

from __future__ import annotations

import io
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "backend" / "tests" / "server"), str(ROOT / "backend")]

from running import SPLIT_CONFIG, Running, point, predict_body  # noqa: E402
from sam2_backend.engine.build import build_model  # noqa: E402
from sam2_backend.engine.select import config_path  # noqa: E402


class Annotator:
    """A connection that is kept. As bare as can be: `requests` reads a megabyte of mask in pieces, for milliseconds."""

    def __init__(self, server: Running) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=300)

    def get(self, path: str) -> bytes:
        self._connection.request("GET", path)
        return self._answer()

    def predict(self, body: dict[str, Any]) -> bytes:
        self._connection.request("POST", "/predict", orjson.dumps(body), {"Content-Type": "application/json"})
        return self._answer()

    def _answer(self) -> bytes:
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content


def arguments(description: str | None) -> ArgumentParser:
    parser = ArgumentParser(description=description)
    parser.add_argument("--config", default="configs/sam2.1/sam2.1_hiera_t.yaml")
    parser.add_argument("--checkpoint", type=Path, help="without it the weights are random")
    parser.add_argument("--device", default="cpu")
    return parser


def load_model(asked: Namespace, folder: Path) -> tuple[Any, Path]:
    """The fp32 model in PyTorch, and the checkpoint file that holds its weights."""
    model = build_model(config_path(asked.config), asked.checkpoint)
    if asked.checkpoint:
        return model, asked.checkpoint.resolve()
    torch.save({"model": model.state_dict()}, folder / "random.pt")
    return model, folder / "random.pt"


def start_server(asked: Namespace, checkpoint: Path, folder: Path) -> Running:
    """A server that reads local files in `folder`/images; prints what it serves."""
    (folder / "images").mkdir()
    server = Running(["sam2_backend"], server_environment(asked, checkpoint, folder))
    server.wait_ready()
    weights = asked.checkpoint.name if asked.checkpoint else "random weights"
    print(f"{server.get('/status').json()['engine']}, {asked.config}, {weights}\n")
    return server


def server_environment(asked: Namespace, checkpoint: Path, folder: Path) -> dict[str, str]:
    return {
        "CACHE_DIR": str(folder / "cache"),
        "DEVICE": asked.device,
        "MODEL_CONFIG": str(config_path(asked.config).resolve()),
        "MODEL_CHECKPOINT": str(checkpoint),
        "LOCAL_FILES_DOCUMENT_ROOT": str(folder / "images"),
        "LABEL_STUDIO_URL": "http://label-studio.invalid",
        "LOG_LEVEL": "WARNING",
    }


def photograph(width: int, height: int, seed: int) -> bytes:
    """A JPEG with structure at every scale, different for each seed."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 64, 256):
        layer = Image.fromarray(rng.integers(0, 255, (cells, cells, 3), np.uint8)).resize((width, height), 3)
        picture += np.asarray(layer, np.float32) / 4
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def click_body(name: str, x: float, y: float, width: int, height: int, *, task: int = 1) -> dict[str, Any]:
    """One positive point, in percent, on the local file of this name."""
    regions = point(x, y, original_width=width, original_height=height)
    return predict_body([{"id": task, "data": {"image": f"/data/local-files/?d={name}"}}], regions, SPLIT_CONFIG)


def open_task(server: Running, name: str, *, task: int) -> None:
    """What Label Studio asks as an annotator opens a task: its image is prepared behind the answer."""
    tasks = [{"id": task, "data": {"image": f"/data/local-files/?d={name}"}}]
    assert server.post("/predict", predict_body(tasks, None, SPLIT_CONFIG)).status_code == 200


def begin_prewarming(server: Running, names: list[str]) -> str:
    """The project under which the local files of these names are prewarmed."""
    project = str(time.monotonic_ns())
    tasks = [{"id": number, "data": {"image": f"/data/local-files/?d={name}"}} for number, name in enumerate(names)]
    server.post("/prewarm", {"project": project, "label_config": SPLIT_CONFIG, "tasks": tasks})
    return project


def milliseconds(action: Callable[[int], object], times: int) -> list[float]:
    taken = []
    for number in range(times):
        begun = time.perf_counter()
        action(number)
        taken.append(1000 * (time.perf_counter() - begun))
    return taken


def percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))
