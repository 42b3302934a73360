"""Annotators before a real HAProxy with the role's configuration, beside what `benchmarks.capacity` says of them.

    python -m benchmarks.fleet --backends 4 --annotators 60 --factor 0 150

The backends are stand-ins that only take time, as long as was measured for what they stand for. HAProxy's log tells
which of them had a click. Prints a markdown table; *left* is the share of requests that another backend answered than
most of their task's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from benchmarks.capacity import CPU, H200, OLD_CPU, Costs, Scene, drawn, simulate
from tools.tests import haproxy

HOST = "127.0.0.1"
STAND_INS = {"cpu": CPU, "old-cpu": OLD_CPU, "h200": H200}
LOGGED = re.compile(r"POST /predict 200 \d+ ms, task (\d+), (\S+),")


class StandIn:
    """A backend without a model: an image takes its encode once, and every click its turn."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._chance = random.Random(1)
        self._decoder, self._encoder = asyncio.Lock(), asyncio.Lock()
        self._images: dict[int, asyncio.Task[None]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length:
            body = json.loads(await reader.readexactly(int(length[1])))
            task = body["tasks"][0]["id"]
            if task not in self._images:
                self._images[task] = asyncio.create_task(self._encode())
            if body["params"]["context"]:
                await self._images[task]
                await self._click()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def _encode(self) -> None:
        await asyncio.sleep(self._costs.read)
        async with self._encoder:
            await asyncio.sleep(drawn(self._costs.encode, self._costs.spread, self._chance))

    async def _click(self) -> None:
        slowed = self._costs.slowed if self._encoder.locked() else 1.0
        async with self._decoder:
            await asyncio.sleep(slowed * drawn(self._costs.click, self._costs.spread, self._chance))
        await asyncio.sleep(drawn(self._costs.beside, self._costs.spread, self._chance))


def body_of(task: int, *, click: bool) -> bytes:
    return json.dumps({"tasks": [{"id": task}], "params": {"context": {"result": [{}]} if click else None}}).encode()


async def ask(port: int, body: bytes) -> float:
    """Over a connection of its own, as Label Studio asks; seconds."""
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(
        f"POST /predict HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
    return time.perf_counter() - begun


async def annotate(port: int, tasks: Iterator[int], scene: Scene, seconds: float) -> list[float]:
    """Seconds of each click."""
    taken: list[float] = []
    until = time.monotonic() + seconds
    shared = [next(tasks) for _ in range(scene.tasks)]

    async def annotator() -> None:
        await asyncio.sleep(random.uniform(0, min(scene.every * scene.clicks, seconds / 4)))
        while time.monotonic() < until:
            task = random.choice(shared) if shared else next(tasks)
            await ask(port, body_of(task, click=False))
            for _ in range(scene.clicks):
                await asyncio.sleep(random.expovariate(1 / scene.every))
                if time.monotonic() < until:
                    taken.append(await ask(port, body_of(task, click=True)))

    await asyncio.gather(*(annotator() for _ in range(scene.annotators)))
    return taken


def left(log: str) -> tuple[float, dict[str, int]]:
    """Share of requests that another backend answered than most of their task's, and how many each backend answered."""
    of_task: dict[str, Counter[str]] = defaultdict(Counter)
    for task, server in LOGGED.findall(log):
        of_task[task][server] += 1
    total = sum(sum(counts.values()) for counts in of_task.values())
    stayed = sum(max(counts.values()) for counts in of_task.values())
    return 1 - stayed / max(total, 1), dict(sum(of_task.values(), Counter()))


@contextlib.asynccontextmanager
async def backends(costs: Costs, count: int) -> AsyncIterator[dict[str, str]]:
    """`HOST:PORT` by name."""
    async with contextlib.AsyncExitStack() as stack:
        addresses = {}
        for number in range(count):
            server = await asyncio.start_server(StandIn(costs).serve, HOST, 0)
            addresses[f"gpu{number + 1}"] = f"{HOST}:{server.sockets[0].getsockname()[1]}"
            await stack.enter_async_context(server)
        yield addresses


def bounded(config: str, factor: int | None) -> str:
    """HAProxy's configuration with this `hash-balance-factor`, 0 for none and None as it is."""
    if factor is None:
        return config
    without = re.sub(r"(?m)^ *hash-balance-factor .*\n", "", config)
    line = f"    hash-balance-factor {factor}\n" if factor else ""
    return re.sub(r"(?m)^( *hash-type .*\n)", rf"\1{line}", without)


async def measure(asked: argparse.Namespace) -> None:
    costs, tasks = STAND_INS[asked.stand_in], itertools.count(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with backends(costs, asked.backends) as addresses:
            head = "annotators", "bound", "clicks", "p50 ms, predicted", "p95 ms, predicted", "left, predicted", "each"
            print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
            for crowd, factor in itertools.product(asked.annotators, asked.factor):
                scene = Scene(
                    crowd,
                    asked.backends,
                    costs,
                    front=None,
                    factor=factor or 0,
                    shared_from=50,
                    tasks=asked.tasks,
                    every=asked.every,
                )
                place = folder / f"haproxy-{crowd}-{factor}"
                place.mkdir()
                edited = functools.partial(bounded, factor=factor)
                running = haproxy.running(place, addresses, edited=edited)
                async with contextlib.AsyncExitStack() as stack:
                    url, _ = await asyncio.to_thread(stack.enter_context, running)
                    port = int(url.rpartition(":")[2])
                    taken = sorted(await annotate(port, tasks, scene, asked.seconds))
                gone, shares = left((place / "haproxy.log").read_text())
                said = simulate(scene, seconds=600)
                bound = "as deployed" if factor is None else factor or "none"
                print(
                    f"| {crowd} | {bound} | {len(taken)} "
                    f"| {1000 * statistics.median(taken):.1f}, {said.percentile(50):.1f} "
                    f"| {1000 * taken[int(len(taken) * 0.95)]:.1f}, {said.percentile(95):.1f} "
                    f"| {gone:.1%}, {said.left / said.asked:.1%} | {shares} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, nargs="+", default=[12])
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two clicks of one annotator")
    parser.add_argument("--backends", type=int, default=2)
    parser.add_argument("--stand-in", choices=sorted(STAND_INS), default="cpu")
    parser.add_argument("--factor", type=int, nargs="+", default=[None], help="hash-balance-factor to add; 0: none")
    parser.add_argument("--tasks", type=int, default=0, help="for all annotators together; 0: each has his own")
    parser.add_argument("--seconds", type=float, default=20.0)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
