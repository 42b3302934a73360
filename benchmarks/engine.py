"""Encoder and decoder, the PyTorch fp32 reference and ours taking turns in one process, as a Markdown table.

    python benchmarks/engine.py --config configs/sam2.1/sam2.1_hiera_t.yaml --checkpoint sam2.1_hiera_tiny.pt
    python benchmarks/engine.py --config configs/sam2.1/sam2.1_hiera_t.yaml            # random weights: same time
    python benchmarks/engine.py ... --device cuda

Rounds are interleaved, so that a busy or throttled moment hits both alike; medians are reported. Needs the backend
installed (`pip install -e backend`) with torch, sam2 and openvino.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2_backend.engine import load_engine
from sam2_backend.engine.build import build_model
from sam2_backend.engine.interface import Decoded, Engine, Prompt
from sam2_backend.engine.pixels import model_input
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.select import config_path
from sam2_backend.engine.selfcheck import drawn_image
from sam2_backend.label_studio.results import rle

POINT = Prompt(np.array([[0.26, 0.4]], np.float32), np.array([1], np.int32))
FIVE = Prompt(np.linspace(0.1, 0.9, 10, dtype=np.float32).reshape(5, 2), np.array([1, 0, 1, 1, 0], np.int32))
BOX = Prompt(np.array([[0.11, 0.19], [0.42, 0.61]], np.float32), np.array([2, 3], np.int32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--checkpoint", type=Path, help="without it, random weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clicks", type=int, default=20, help="decodes a round")
    parser.add_argument("--cache-dir", type=Path, default=Path(tempfile.gettempdir()) / "sam2-benchmark")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    config = config_path(options.config)
    options.cache_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = options.checkpoint or random_checkpoint(config, options.cache_dir)
    engine = load_engine(
        config,
        checkpoint,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        cache_dir=options.cache_dir,
    )
    reference = ReferenceEngine(build_model(config, checkpoint))
    load = os.getloadavg()[0]
    times = measure(engine, reference, options.rounds, options.clicks)
    info = engine.info
    print(
        f"{config.name}, {'random weights' if options.checkpoint is None else checkpoint.name};"
        f" ours: {info.name} {info.precision} on {info.device}; reference: PyTorch {torch.__version__} fp32 eager;"
        f" {platform.machine()}, {torch.get_num_threads()} threads, {options.rounds} interleaved rounds, medians;"
        f" load average before {load:.1f}\n"
    )
    print("| step | reference ms | ours ms | ratio |\n|---|---|---|---|")
    for step in times["ours"]:
        ours = statistics.median(times["ours"][step]) * 1e3
        theirs = statistics.median(times["reference"][step]) * 1e3 if step in times["reference"] else None
        compared = (f"{theirs:.1f}", f"{theirs / ours:.1f}x") if theirs else ("-", "-")
        print(f"| {step} | {compared[0]} | {ours:.1f} | {compared[1]} |")


def brush(decoded: Decoded, height: int, width: int) -> bytes:
    return rle.rle_to_json(rle.logits_to_rle(decoded.logits[0], height, width))


def random_checkpoint(config: Path, folder: Path) -> Path:
    path = folder / f"random_{config.stem}.pt"
    if not path.exists():
        torch.manual_seed(0)
        torch.save({"model": build_model(config, None).state_dict()}, path)
    return path


def measure(engine: Engine, reference: ReferenceEngine, rounds: int, clicks: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every run: {who: {step: [...]}}."""
    times: dict[str, dict[str, list[float]]] = {"ours": defaultdict(list), "reference": defaultdict(list)}
    image = drawn_image(768, 1024)

    def timed(who: str, step: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        times[who][step].append(time.perf_counter() - began)
        return result

    prior = reference.decode(reference.encode(image), POINT).logits[0]
    prompts = {
        "one point": POINT,
        "five points": FIVE,
        "box": BOX,
        "point refining a mask": Prompt(POINT.points, POINT.labels, prior),
    }
    for turn in range(rounds + 1):
        if turn == 1:  # the first round warmed up
            times["ours"].clear()
            times["reference"].clear()
        prepared = timed("ours", "encode 1024x768 (resize, encoder, projections)", lambda: engine.encode(image))
        features = timed("reference", "encode 1024x768 (resize, encoder, projections)", lambda: reference.encode(image))
        timed("ours", "resize alone, 1024x768", lambda: model_input(image, engine.info.image_size))
        stored = timed("ours", "export to the store", functools.partial(engine.export, prepared))
        timed("ours", "restore from the store", functools.partial(engine.restore, stored))
        for name, prompt in prompts.items():
            for _ in range(clicks):
                decoded = timed("ours", f"decode, {name}", functools.partial(engine.decode, prepared, prompt))
            for _ in range(max(1, clicks // 5)):
                timed("reference", f"decode, {name}", functools.partial(reference.decode, features, prompt))
        for height, width in ((768, 1024), (3000, 4000)):
            for _ in range(clicks):
                timed(
                    "ours", f"logits to brush JSON, {width}x{height}", functools.partial(brush, decoded, height, width)
                )
    return times


if __name__ == "__main__":
    main()
