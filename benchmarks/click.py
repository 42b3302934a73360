"""Warm and cold clicks over HTTP against the plain PyTorch path, side by side in one run; prints a markdown table.

    python benchmarks/click.py --config configs/sam2.1/sam2.1_hiera_t.yaml --checkpoint sam2.1_hiera_tiny.pt

Without `--checkpoint` the weights are random: times are the same, masks mean nothing. The plain path is what upstream's
example backend does for every click: open the file, encode the image, decode, upsample, `mask2rle`, `json.dumps`; in
one process, without HTTP. Ours is a real server process asked over HTTP; images are local files, so that no network is
in it. *Smooth* is a warm click whose mask is one round shape, as masks of things are, after the decoder ran: random
weights give masks of a hundred thousand runs.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image
from sam2_backend.engine.interface import POSITIVE, Prompt
from sam2_backend.engine.reference import ReferenceEngine
from serving import (
    ROOT,
    Annotator,
    Running,
    arguments,
    begin_prewarming,
    click_body,
    load_model,
    milliseconds,
    percentile,
    photograph,
    server_environment,
    start_server,
)


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
    parser = arguments(__doc__)
    parser.add_argument("--sizes", nargs="+", default=["1024x768", "1920x1080", "4000x3000"])
    parser.add_argument("--warm", type=int, default=40, help="warm clicks per size")
    parser.add_argument("--cold", type=int, default=7, help="cold clicks per size")
    parser.add_argument("--plain", type=int, default=3, help="plain PyTorch clicks per size")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(asked, Path(folder))


def run(asked: Namespace, folder: Path) -> None:
    model, checkpoint = load_model(asked, folder)
    server = start_server(asked, checkpoint, folder)
    environment = server_environment(asked, checkpoint, folder) | {"PROVOKE_SMOOTH": "1"}
    smooth = Running([str(ROOT / "benchmarks" / "gpu" / "provoked_server.py")], environment)
    try:
        smooth.wait_ready()
        print(
            "| image | plain PyTorch ms | warm ms (p95) | ratio | smooth ms (p95) "
            "| cold ms (p95) | ratio | /health p99 ms, encoding |"
        )
        print("|---|---|---|---|---|---|---|---|")
        engine = ReferenceEngine(model)
        for size in asked.sizes:
            width, height = map(int, size.split("x"))
            for number in range(asked.cold + 2):
                (folder / "images" / f"{size}-{number}.jpg").write_bytes(photograph(width, height, number))
            measure(asked, server, smooth, engine, folder / "images", size)
    finally:
        server.stop()
        smooth.stop()


def measure(
    asked: Namespace, server: Running, smooth: Running, engine: ReferenceEngine, images: Path, size: str
) -> None:
    width, height = map(int, size.split("x"))

    def click(annotator: Annotator, number: int, warm: bool) -> None:
        # A point of its own each time: nothing but the image embedding may be reused.
        body = click_body(f"{size}-{0 if warm else number + 1}.jpg", 30 + number % 40, 50, width, height)
        assert annotator.predict(body)

    # Each series has a connection of its own: the server closes one that nobody used for some seconds.
    annotator = Annotator(server)
    click(annotator, 0, warm=True)
    warm = milliseconds(lambda number: click(annotator, number, warm=True), asked.warm)
    cold = milliseconds(lambda number: click(annotator, number, warm=False), asked.cold)
    annotator = Annotator(smooth)
    click(annotator, 0, warm=True)
    rounded = milliseconds(lambda number: click(annotator, number, warm=True), asked.warm)
    plain = milliseconds(lambda _: plain_click(engine, images / f"{size}-0.jpg"), asked.plain)
    health = health_while_encoding(server, images, size)
    median = statistics.median
    print(
        f"| {size} | {median(plain):.0f} "
        f"| {median(warm):.1f} ({percentile(warm, 95):.1f}) | {median(plain) / median(warm):.0f}x "
        f"| {median(rounded):.1f} ({percentile(rounded, 95):.1f}) "
        f"| {median(cold):.0f} ({percentile(cold, 95):.0f}) | {median(plain) / median(cold):.1f}x | {health:.1f} |",
        flush=True,
    )


def health_while_encoding(server: Running, images: Path, size: str) -> float:
    """p99 of /health while a project is being prewarmed."""
    width, height = map(int, size.split("x"))
    names = [f"{size}-health{number}.jpg" for number in range(5)]
    for number, name in enumerate(names):
        (images / name).write_bytes(photograph(width, height, 1000 + number))
    project = begin_prewarming(server, names)
    annotator, taken = Annotator(server), []
    while server.get(f"/prewarm?project={project}").json()["done"] < len(names):
        taken += milliseconds(lambda _: annotator.get("/health"), 20)
    return percentile(taken, 99)


if __name__ == "__main__":
    main()
