"""Warm and cold clicks over HTTP against the plain PyTorch path, side by side in one run; prints a markdown table.

    python benchmarks/click.py --config configs/sam2.1/sam2.1_hiera_t.yaml --checkpoint sam2.1_hiera_tiny.pt

Without `--checkpoint` the weights are random: times are the same, masks mean nothing. The plain path is what upstream's
example backend does for every click: open the file, encode the image, decode, upsample, `mask2rle`, `json.dumps`; in
one process, without HTTP. Ours is a real server process asked over HTTP; images are local files, so that no network is
in it.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import requests
import torch
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "backend" / "tests" / "server"), str(ROOT / "backend")]

from running import SPLIT_CONFIG, Running, point, predict_body  # noqa: E402
from sam2_backend.engine.base import POSITIVE, Prompt  # noqa: E402
from sam2_backend.engine.build import build_model  # noqa: E402
from sam2_backend.engine.reference import ReferenceEngine  # noqa: E402
from sam2_backend.engine.select import config_path  # noqa: E402


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


def milliseconds(action: Callable[[int], object], times: int) -> list[float]:
    taken = []
    for number in range(times):
        begun = time.perf_counter()
        action(number)
        taken.append(1000 * (time.perf_counter() - begun))
    return taken


def plain_click(engine: ReferenceEngine, path: Path) -> str:
    image = np.array(Image.open(path).convert("RGB"))
    prepared = engine.encode(image)
    prompt = Prompt(np.array([[0.5, 0.5]], np.float32), np.array([POSITIVE], np.int32))
    decoded = engine.decode(prepared, prompt)
    logits = torch.from_numpy(decoded.logits)[None]
    masks = torch.nn.functional.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)[0] > 0
    best = masks[int(decoded.scores.argmax())].numpy().astype(np.uint8) * 255
    return json.dumps(mask2rle(best))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/sam2.1/sam2.1_hiera_t.yaml")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["1024x768", "1920x1080", "4000x3000"])
    parser.add_argument("--warm", type=int, default=40, help="warm clicks per size")
    parser.add_argument("--cold", type=int, default=7, help="cold clicks per size")
    parser.add_argument("--plain", type=int, default=3, help="plain PyTorch clicks per size")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(asked, Path(folder))


def run(asked: Any, folder: Path) -> None:
    model = build_model(config_path(asked.config), asked.checkpoint)
    checkpoint = asked.checkpoint or folder / "random.pt"
    if not asked.checkpoint:
        torch.save({"model": model.state_dict()}, checkpoint)
    images = folder / "images"
    images.mkdir()
    server = Running(
        ["sam2_backend"],
        {
            "CACHE_DIR": str(folder / "cache"),
            "DEVICE": asked.device,
            "MODEL_CONFIG": str(config_path(asked.config).resolve()),
            "MODEL_CHECKPOINT": str(Path(checkpoint).resolve()),
            "LOCAL_FILES_DOCUMENT_ROOT": str(images),
            "LABEL_STUDIO_URL": "http://label-studio.invalid",
            "LOG_LEVEL": "WARNING",
        },
    )
    try:
        server.wait_ready()
        status = server.get("/status").json()
        print(f"{status['engine']}, {asked.config}, {'random weights' if not asked.checkpoint else checkpoint.name}\n")
        print("| image | plain PyTorch ms | warm ms (p95) | ratio | cold ms (p95) | ratio | /health p99 ms, encoding |")
        print("|---|---|---|---|---|---|---|")
        engine = ReferenceEngine(model)
        for size in asked.sizes:
            width, height = map(int, size.split("x"))
            for number in range(asked.cold + 2):
                (images / f"{size}-{number}.jpg").write_bytes(photograph(width, height, number))
            measure(asked, server, engine, images, size)
    finally:
        server.stop()


def measure(asked: Any, server: Running, engine: ReferenceEngine, images: Path, size: str) -> None:
    width, height = map(int, size.split("x"))
    session = requests.Session()

    def click(number: int, warm: bool) -> None:
        # A point of its own each time: nothing but the image embedding may be reused.
        regions = point(30 + number % 40, 50, name=f"p{number}", original_width=width, original_height=height)
        path = f"/data/local-files/?d={size}-{0 if warm else number + 1}.jpg"
        body = predict_body([{"id": 1, "data": {"image": path}}], regions, SPLIT_CONFIG)
        answer = session.post(f"{server.url}/predict", json=body, timeout=300)
        assert answer.status_code == 200, answer.text
        assert answer.content

    click(0, warm=True)
    warm = milliseconds(lambda number: click(number, warm=True), asked.warm)
    cold = milliseconds(lambda number: click(number, warm=False), asked.cold)
    plain = milliseconds(lambda _: plain_click(engine, images / f"{size}-0.jpg"), asked.plain)
    health = health_while_encoding(server, images, size)
    median = statistics.median
    print(
        f"| {size} | {median(plain):.0f} "
        f"| {median(warm):.1f} ({p(warm, 95):.1f}) | {median(plain) / median(warm):.0f}x "
        f"| {median(cold):.0f} ({p(cold, 95):.0f}) | {median(plain) / median(cold):.1f}x | {health:.1f} |",
        flush=True,
    )


def health_while_encoding(server: Running, images: Path, size: str) -> float:
    """p99 of /health while a project is being prewarmed."""
    width, height = map(int, size.split("x"))
    tasks = []
    for number in range(5):
        (images / f"{size}-health{number}.jpg").write_bytes(photograph(width, height, 1000 + number))
        tasks.append({"id": number, "data": {"image": f"/data/local-files/?d={size}-health{number}.jpg"}})
    project = f"{size}-{time.monotonic_ns()}"
    server.post("/prewarm", {"project": project, "label_config": SPLIT_CONFIG, "tasks": tasks})
    session, taken = requests.Session(), []
    while server.get(f"/prewarm?project={project}").json()["done"] < len(tasks):
        taken += milliseconds(lambda _: session.get(f"{server.url}/health", timeout=10), 20)
    return p(taken, 99)


def p(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))


if __name__ == "__main__":
    main()
