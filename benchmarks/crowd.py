"""Annotators clicking at once, each on a warm image of his own: alone, while a project is prewarmed, and while tasks
that somebody opened are prepared too.

    python benchmarks/crowd.py --annotators 8 --prewarm 200

Every annotator clicks again as soon as the answer is there, so the server is never idle. Every mask is compared with
the one that a quiet server gave for the same click. Prints a markdown table.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
from serving import (
    Annotator,
    Running,
    arguments,
    begin_prewarming,
    click_body,
    load_model,
    milliseconds,
    open_task,
    percentile,
    photograph,
    start_server,
)

WIDTH, HEIGHT = 1024, 768
POINTS = [(30.0, 40.0), (50.0, 50.0), (70.0, 60.0)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--clicks", type=int, default=60, help="of each annotator, in each round")
    parser.add_argument("--prewarm", type=int, default=200, help="images that are prewarmed from the second round on")
    parser.add_argument("--opened", type=int, default=30, help="tasks that are opened as the third round begins")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _, checkpoint = load_model(asked, Path(folder))
        server = start_server(asked, checkpoint, Path(folder))
        try:
            run(asked, server, Path(folder) / "images")
        finally:
            server.stop()


def run(asked: Namespace, server: Running, images: Path) -> None:
    for number in range(asked.annotators):
        (images / f"{number}.jpg").write_bytes(photograph(WIDTH, HEIGHT, number))
    first = Annotator(server)
    expected = [
        [masks(click(first, number, turn)) for turn in range(len(POINTS))] for number in range(asked.annotators)
    ]
    alone = milliseconds(lambda turn: click(first, 0, turn), 40)
    print("| | clicks | median ms | p95 ms | wrong masks | images prewarmed |")
    print("|---|---|---|---|---|---|")
    print(f"| one annotator | 40 | {statistics.median(alone):.1f} | {percentile(alone, 95):.1f} | - | - |", flush=True)
    report(asked, server, expected, f"{asked.annotators} annotators", "")
    names = [f"new{number}.jpg" for number in range(asked.prewarm)]
    for number, name in enumerate(names):
        (images / name).write_bytes(photograph(WIDTH, HEIGHT, 1000 + number))
    project, waiting = begin_prewarming(server, names), f"{asked.annotators}, {asked.prewarm} images waiting"
    report(asked, server, expected, waiting, project)
    for number in range(asked.opened):
        (images / f"opened{number}.jpg").write_bytes(photograph(WIDTH, HEIGHT, 2000 + number))
    for number in range(asked.opened):
        open_task(server, f"opened{number}.jpg", task=3000 + number)
    report(asked, server, expected, f"{waiting}, {asked.opened} tasks opened", project)


def report(asked: Namespace, server: Running, expected: list[list[bytes]], what: str, project: str) -> None:
    together = threading.Barrier(asked.annotators)

    def annotate(number: int) -> tuple[list[float], int]:
        annotator, answers = Annotator(server), []
        together.wait()
        taken = milliseconds(lambda turn: answers.append(click(annotator, number, turn)), asked.clicks)
        wrong = sum(masks(answer) != expected[number][turn % len(POINTS)] for turn, answer in enumerate(answers))
        return taken, wrong

    with ThreadPoolExecutor(asked.annotators) as pool:
        found = list(pool.map(annotate, range(asked.annotators)))
    taken = [value for each, _ in found for value in each]
    wrong = sum(count for _, count in found)
    done = server.get(f"/prewarm?project={project}").json()["done"] if project else "-"
    print(
        f"| {what} | {len(taken)} | {statistics.median(taken):.1f} | {percentile(taken, 95):.1f} | {wrong} | {done} |",
        flush=True,
    )


def click(annotator: Annotator, number: int, turn: int) -> bytes:
    x, y = POINTS[turn % len(POINTS)]
    return annotator.predict(click_body(f"{number}.jpg", x, y, WIDTH, HEIGHT, task=number))


def masks(answer: bytes) -> bytes:
    """The answer's RLE, without the ids that are new in every answer."""
    results = orjson.loads(answer)["results"]
    return orjson.dumps(
        [item["value"]["rle"] for result in results for item in result["result"] if "rle" in item["value"]]
    )


if __name__ == "__main__":
    main()
