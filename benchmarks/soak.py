"""Mixed traffic for a while: annotators click, projects are prewarmed, bad requests come in, the server is killed once,
the disk cache is damaged once. Ends with an error unless no mask was wrong and memory stayed flat.

    python benchmarks/soak.py --minutes 30

Served is the demo model on drawings; every answer is compared with what a quiet server gave for the same click.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "backend" / "tests" / "server"), str(ROOT / "backend")]

from demo_training.drawings import EASY, draw, targets  # noqa: E402
from running import SPLIT_CONFIG, Running, brush_mask, iou, point, predict_body  # noqa: E402

SIDE = 256
IMAGES = 60
ANNOTATORS = 4
MEMORY_GROWTH = 1.15
Click = tuple[str, list[dict[str, Any]]]


@dataclass
class Tally:
    """What happened; `lock` guards it."""

    clicks: int = 0
    wrong: int = 0
    refused: int = 0
    interrupted: int = 0
    bad_answered: int = 0
    prewarmed: int = 0
    unexpected: list[str] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def drawings(folder: Path) -> list[Click]:
    found = []
    for number in range(IMAGES):
        rng = np.random.default_rng(number)
        drawing = draw(rng, SIDE, EASY)
        Image.fromarray(drawing.image).save(folder / f"{number}.png")
        x, y = targets(rng, drawing.labels, 1)[0].click / SIDE * 100
        regions = point(float(x), float(y), original_width=SIDE, original_height=SIDE)
        found.append((f"/data/local-files/?d={number}.png", regions))
    return found


class Soak:
    def __init__(self, folder: Path, minutes: float) -> None:
        self.cache, self.images = folder / "cache", folder / "images"
        self.images.mkdir()
        self.clicks = drawings(self.images)
        self.tally = Tally()
        self.server = self.start()
        self.expected = [self.mask(self.ask(click)) for click in self.clicks]
        self.end = time.monotonic() + 60 * minutes
        self.minutes = minutes

    def start(self) -> Running:
        server = Running(
            ["sam2_backend"],
            {
                "CACHE_DIR": str(self.cache),
                "DEVICE": "cpu",
                "LOCAL_FILES_DOCUMENT_ROOT": str(self.images),
                "LABEL_STUDIO_URL": "http://label-studio.invalid",
                # Room for a third of the images, so that memory and disk are both at work.
                "CACHE_MEMORY_BYTES": str(20 * 720_896),
                "LOG_LEVEL": "ERROR",
            },
        )
        server.wait_ready()
        return server

    def ask(self, click: Click) -> requests.Response:
        body = predict_body([{"id": click[0], "data": {"image": click[0]}}], click[1], SPLIT_CONFIG)
        return requests.post(f"{self.server.url}/predict", json=body, timeout=120)

    @staticmethod
    def mask(answer: requests.Response) -> np.ndarray[Any, Any]:
        result = answer.json()["results"][0]["result"]
        return brush_mask(result[0]) if result else np.zeros((SIDE, SIDE), bool)

    def annotate(self, seed: int) -> None:
        order = random.Random(seed)
        while time.monotonic() < self.end:
            number = order.randrange(IMAGES)
            try:
                answer = self.ask(self.clicks[number])
            except requests.ConnectionError:
                with self.tally.lock:
                    self.tally.interrupted += 1
                time.sleep(0.5)
                continue
            with self.tally.lock:
                self.tally.clicks += 1
                if answer.status_code == 503:
                    self.tally.refused += 1
                elif answer.status_code != 200:
                    self.tally.unexpected.append(f"{answer.status_code} {answer.reason}")
                elif iou(self.mask(answer), self.expected[number]) < 0.99:
                    self.tally.wrong += 1
            time.sleep(order.uniform(0, 0.2))

    def prewarm(self) -> None:
        turn = 0
        while time.monotonic() < self.end:
            turn += 1
            tasks = []
            for number in range(10):
                name = f"new-{number}.png"
                file = io.BytesIO()
                Image.fromarray(np.random.default_rng([turn, number]).integers(0, 255, (64, 64, 3), np.uint8)).save(
                    file, "PNG"
                )
                (self.images / name).write_bytes(file.getvalue())
                tasks.append({"id": number, "data": {"image": f"/data/local-files/?d={name}"}})
            try:
                self.server.post("/prewarm", {"project": turn, "label_config": SPLIT_CONFIG, "tasks": tasks})
                with self.tally.lock:
                    self.tally.prewarmed += len(tasks)
            except requests.ConnectionError:
                pass
            time.sleep(2)

    def misbehave(self) -> None:
        order = random.Random(7)
        while time.monotonic() < self.end:
            body = order.choice(
                [b"{", b"[]", b"\xff" * 1000, b'{"tasks": [{}], "params": {"context": {"result": [1]}}}']
            )
            image = order.choice(["file:///etc/passwd", "http://169.254.169.254/", "/data/local-files/?d=none.png"])
            try:
                answers = [self.server.post("/predict", data=body), self.server.click(image, *point(50, 50))]
            except requests.ConnectionError:
                time.sleep(0.5)
                continue
            with self.tally.lock:
                self.tally.bad_answered += len(answers)
                self.tally.unexpected += [
                    f"bad request got {a.status_code}" for a in answers if a.status_code in (200, 500)
                ]
            time.sleep(0.5)

    def watch(self) -> None:
        """Memory, and two accidents: at a third the process dies, at two thirds half of the disk cache is damaged."""
        begun, accidents = time.monotonic(), 0
        while time.monotonic() < self.end:
            elapsed = (time.monotonic() - begun) / (60 * self.minutes)
            if accidents == 0 and elapsed > 1 / 3:
                accidents = 1
                self.server.process.kill()
                self.server.process.wait()
                self.server = self.start()
                with self.tally.lock:
                    self.tally.resident.clear()
            if accidents == 1 and elapsed > 2 / 3:
                accidents = 2
                for file in list(self.cache.rglob("*.emb"))[::2]:
                    file.write_bytes(file.read_bytes()[: random.randrange(1000)])
            with self.tally.lock:
                self.tally.resident.append(psutil.Process(self.server.process.pid).memory_info().rss / 1e6)
            time.sleep(min(5.0, self.minutes))

    def run(self) -> bool:
        workers = [threading.Thread(target=self.annotate, args=(seed,)) for seed in range(ANNOTATORS)]
        workers += [threading.Thread(target=work) for work in (self.prewarm, self.misbehave, self.watch)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        status = self.server.get("/status").json()
        self.server.stop()
        tally, quarter = self.tally, max(1, len(self.tally.resident) // 4)
        first, last = (
            float(np.median(part)) for part in (tally.resident[quarter : 2 * quarter], tally.resident[-quarter:])
        )
        print(f"{tally.clicks} clicks: {tally.wrong} wrong, {tally.refused} refused, {tally.interrupted} interrupted")
        print(f"{tally.bad_answered} bad requests answered, {tally.prewarmed} images prewarmed")
        print(f"resident memory {first:.0f} MB -> {last:.0f} MB; cache {status['cache']}")
        for line in sorted(set(tally.unexpected)):
            print(f"unexpected: {line} ({tally.unexpected.count(line)} times)")
        return tally.clicks > 0 and not tally.wrong and not tally.unexpected and last < first * MEMORY_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = Soak(Path(folder), asked.minutes).run()
    print("soak passed" if good else "SOAK FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
