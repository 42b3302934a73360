"""Boxes into masks for a whole project, through a real Label Studio, beside one predict per box.

    SAMSTUDIO_TEST_LABEL_STUDIO=.cache/label-studio-venv SAMSTUDIO_TEST_BACKEND=.cache/backend-venv \
        python -m benchmarks.masks --images 1000 --boxes 10

*Plain* is what a script does that knows no embeddings: one /predict for each box, and the image encoded each time. It
is measured on `--plain` images. Clicks are on an image that is known, with a pause before each, alone and beside the
job. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from samstudio import backend_client, masks, samples, ssrf
from samstudio.labelstudio import LabelStudio, connect, projects
from samstudio.labelstudio.session import sign_in
from samstudio.labelstudio.tokens import obtain

from tools.tests import backend as real_backend
from tools.tests import boxed_scenes, label_studio, servers

WIDTH, HEIGHT = 1024, 768
PAUSE_SECONDS = 0.2


@dataclass
class Bench:
    """Both servers. images: a folder that Label Studio serves and the backend sees; process: the backend's id."""

    studio: LabelStudio
    backend: backend_client.Backend
    images: Path
    process: int
    label_studio_seconds: float = 0.0

    def address(self, name: str) -> str:
        return f"/data/local-files/?d=images/{name}"

    def encodes(self) -> int:
        told = self.backend.http.get("/metrics").text
        found = re.search(r'sam2_cache_lookups_total\{outcome="miss"\} (\d+)', told)
        return int(found[1]) if found else 0

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.process}/status").read_text()
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+)", status)
        return int(kilobytes) / 1024


@dataclass
class Watched:
    """Milliseconds of clicks, and the backend's memory in MB, while something runs."""

    clicks: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure(bench: Bench, *, images: int, boxes: int, plain: int, clicks: int) -> dict[str, float]:
    """Figures of both ways. `mean IoU` is that of all drawn objects, those without a mask among them."""
    drawn = [
        boxed_scenes.draw(number, columns=boxes // 2, rows=2, width=WIDTH, height=HEIGHT) for number in range(images)
    ]
    for number, scene in enumerate(drawn):
        (bench.images / f"{number}.png").write_bytes(scene.png)
    project = int(projects.create(bench.studio, "boxes into masks", boxed_scenes.CONFIG).id or 0)
    for start in range(0, images, 200):
        tasks = [
            {"data": {"image": bench.address(f"{number}.png")}, "annotations": [{"result": drawn[number].boxes}]}
            for number in range(start, min(start + 200, images))
        ]
        bench.studio.http.post(f"/api/projects/{project}/import", json=tasks).raise_for_status()

    plain_rate = _plain(bench, project, drawn[:plain])
    click = _clicking(bench, project, drawn[0])
    alone = [_after_a_pause(click) for _ in range(clicks)]
    job = masks.job(bench.studio, bench.backend, project, masks.Wanted())
    before, bench.label_studio_seconds, begun = bench.encodes(), 0.0, time.monotonic()
    with _watched(bench, click if clicks else lambda: 0.0) as watched:
        result = job.run(job.survey(), lambda *_: None)
    seconds = time.monotonic() - begun
    assert result["masked"] == images, result
    scores, counts = _checked(bench, project, drawn)
    return {
        "images": images,
        "boxes": images * boxes,
        "plain boxes/s": plain_rate,
        "boxes/s": result["masks"] / seconds,
        "times faster": result["masks"] / seconds / plain_rate,
        "encodes": bench.encodes() - before,
        "mean IoU": float(np.mean(scores)),
        "boxes without a mask": images * boxes - result["masks"],
        "predictions a task": max(counts) if min(counts) == max(counts) else -1,
        "Label Studio's seconds": bench.label_studio_seconds,
        "seconds": seconds,
        "MB at first": watched.memory[0],
        "MB at most": max(watched.memory),
        "MB at last": watched.memory[-1],
        "click p95 ms alone": _p95(alone),
        "click p95 ms beside": _p95(watched.clicks),
    }


def _plain(bench: Bench, project: int, drawn: list[boxed_scenes.Drawn]) -> float:
    """Boxes per second. An image of one byte more is another image, so each one is encoded."""
    before, begun, count = bench.encodes(), time.monotonic(), 0
    for number, scene in enumerate(drawn):
        for turn, box in enumerate(scene.boxes):
            name = f"plain-{number}-{turn}.png"
            (bench.images / name).write_bytes(scene.png + bytes(turn + 1))
            task = {"id": 10**6 + count, "data": {"image": bench.address(name)}}
            answer = bench.backend.predict(project, boxed_scenes.CONFIG, task, {"result": [box]})
            assert answer["result"]
            count += 1
    seconds = time.monotonic() - begun
    assert bench.encodes() - before == count
    return count / seconds


def _clicking(bench: Bench, project: int, scene: boxed_scenes.Drawn) -> Callable[[], float]:
    (bench.images / "clicked.png").write_bytes(scene.png + b"clicked")
    task = {"id": 10**7, "data": {"image": bench.address("clicked.png")}}

    def click() -> float:
        begun = time.perf_counter()
        bench.backend.predict(project, boxed_scenes.CONFIG, task, {"result": [scene.boxes[0]]})
        return 1000 * (time.perf_counter() - begun)

    click()
    return click


def _after_a_pause(click: Callable[[], float]) -> float:
    """As people click: a machine that slept for a moment is slower than one that never does."""
    time.sleep(PAUSE_SECONDS)
    return click()


@contextlib.contextmanager
def _watched(bench: Bench, click: Callable[[], float]) -> Iterator[Watched]:
    watched, ended = Watched(), threading.Event()

    def watch() -> None:
        while not ended.is_set():
            watched.memory.append(bench.megabytes())
            watched.clicks.append(_after_a_pause(click))

    thread = threading.Thread(target=watch)
    watched.memory.append(bench.megabytes())
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def _checked(bench: Bench, project: int, drawn: list[boxed_scenes.Drawn]) -> tuple[list[float], list[int]]:
    """IoU of each drawn object with the mask most like it, and predictions of each task."""
    scores: list[float] = []
    counts: list[int] = []
    for page in range(1, len(drawn) // 50 + 2):
        asked: dict[str, str | int] = {"project": project, "fields": "all", "page": page, "page_size": 50}
        answer = bench.studio.http.get("/api/tasks", params=asked)
        for task in answer.json()["tasks"] if answer.status_code == httpx.codes.OK else ():
            scene = drawn[int(task["data"]["image"].rsplit("/")[-1].removesuffix(".png"))]
            counts.append(len(task["predictions"]))
            made = [boxed_scenes.mask(item) for item in task["predictions"][0]["result"]]
            scores += (max(samples.iou(mask, truth) for mask in made) for truth in scene.truths)
    return scores, counts


def _p95(values: list[float]) -> float:
    return float(np.percentile(values, 95)) if values else 0.0


def bench_of(studio: LabelStudio, backend: backend_client.Backend, images: Path, process: int) -> Bench:
    """Counts from now on how long Label Studio takes to answer."""
    bench = Bench(studio, backend, images, process)

    def count(response: httpx.Response) -> None:
        response.read()
        bench.label_studio_seconds += response.elapsed.total_seconds()

    studio.http.event_hooks["response"].append(count)
    return bench


@contextlib.contextmanager
def _bench(folder: Path) -> Iterator[Bench]:
    settings = ssrf.narrow_environment(ssrf.KNOWN, ["127.0.0.1"])
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "samstudio-benchmarks"
    with contextlib.ExitStack() as stack:
        studio = stack.enter_context(label_studio.running(folder / "studio", cache, settings=settings))
        with sign_in(studio.url, studio.email, studio.password) as session:
            token = obtain(session)[0]
        port = servers.free_port()
        process = real_backend.start(
            folder / "backend", "127.0.0.1", port, documents=studio.folder / "documents", studio_url=studio.url
        )
        stack.callback(servers.stop, process, seconds=30)
        reached = backend_client.connect(f"http://127.0.0.1:{port}", real_backend.USER, real_backend.PASSWORD)
        connection = stack.enter_context(connect(studio.url, token))
        yield bench_of(connection, stack.enter_context(reached), studio.images, process.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--boxes", type=int, default=10, help="on each image; an even number")
    parser.add_argument("--plain", type=int, default=10, help="images of the plain way")
    parser.add_argument("--clicks", type=int, default=100, help="alone; 0 for none beside the job either")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _bench(Path(folder)) as bench:
        print("| | |\n|---|---|")
        for name, value in measure(bench, **vars(asked)).items():
            print(f"| {name} | {value:.4g} |")


if __name__ == "__main__":
    main()
