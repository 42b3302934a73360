"""What a model takes: memory while it is converted, while it waits and while it works, and the bytes of a cached image.

    python benchmarks/memory.py

Each of the official models and the demo one gets a server process, with random weights; its children are counted too.
Prints a markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

import psutil
from serving import ROOT, Running, click_body, load_model, photograph, server_environment

DEMO = "backend/sam2_backend/demo/sam2.1_demo.yaml"
CONFIGS = [*(f"configs/sam2.1/sam2.1_hiera_{size}.yaml" for size in ("t", "s", "b+", "l")), str(ROOT / DEMO)]
WIDTH, HEIGHT, IMAGES = 4000, 3000, 6
MIB = 1 << 20


class Watched:
    """Resident memory of a server and its children, in MiB, looked at ten times a second."""

    def __init__(self, server: Running) -> None:
        self._process = psutil.Process(server.process.pid)
        self._ended = threading.Event()
        self.peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> float:
        resident = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):
                resident += process.memory_info().rss
        return resident / MIB

    def _watch(self) -> None:
        with suppress(psutil.Error):
            while not self._ended.wait(0.1):
                self.peak = max(self.peak, self.now())

    def end(self) -> None:
        self._ended.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    print("| model | MiB at most, converting | ready | at most, encoding 4000x3000 | MB an image, memory | disk |")
    print("|---|---|---|---|---|---|")
    for config in asked.configs:
        with tempfile.TemporaryDirectory() as folder:
            measure(Namespace(config=config, device=asked.device, checkpoint=None), Path(folder))


def measure(asked: Namespace, folder: Path) -> None:
    _, checkpoint = load_model(asked, folder)
    images = folder / "images"
    images.mkdir()
    for number in range(IMAGES):
        (images / f"{number}.jpg").write_bytes(photograph(WIDTH, HEIGHT, number))
    environment = server_environment(asked, checkpoint, folder)

    converting = Running(["sam2_backend"], environment)
    watched = Watched(converting)
    converting.wait_ready()
    watched.end()
    converting.stop()
    # Anew, with everything converted, as it is from the second start on.
    server = Running(["sam2_backend"], environment)
    try:
        server.wait_ready()
        working = Watched(server)
        ready = working.now()
        for number in range(IMAGES):
            answer = server.post("/predict", click_body(f"{number}.jpg", 50, 50, WIDTH, HEIGHT))
            assert answer.status_code == 200, answer.text
        working.end()
        while (cache := server.get("/status").json()["cache"])["disk_entries"] < IMAGES:
            time.sleep(0.1)  # they are written behind the answers
        print(
            f"| {Path(asked.config).stem} | {watched.peak:.0f} | {ready:.0f} | {working.peak:.0f} "
            f"| {cache['memory_bytes'] / IMAGES / 1e6:.1f} | {cache['disk_bytes'] / IMAGES / 1e6:.1f} |",
            flush=True,
        )
    finally:
        server.stop()


if __name__ == "__main__":
    main()
