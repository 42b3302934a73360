"""How many annotators one card serves: clicks a second without pauses, then people who click every three seconds.

Each of these opens a task, which sends what the editor sends then, and clicks ten times on its image, once every three
seconds; then the next one. More of them, until 95 of 100 clicks are no longer answered within 100 ms.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import aiohttp
import orjson
from serving import SPLIT_CONFIG, click_body, percentile, predict_body

from benchmarks.gpu.common import Table
from benchmarks.gpu.servers import HEIGHT, WIDTH, Bench, serving

CLIENTS, CONNECTIONS = 4, 4
EVERY, CLICKS = 3.0, 10
CROWDS = (100, 200, 400, 600, 800, 1200)
LIMIT_MS = 100.0


def run(asked: Namespace) -> None:
    seconds = 2 if asked.quick else 5
    table = Table(asked, "throughput", ("model", "clicks a second, no pauses", "median ms", "p95 ms"))
    for size in asked.sizes:
        with serving(asked, size) as bench:
            warm = [bench.new_image() for _ in range(CLIENTS)]
            with ProcessPoolExecutor(CLIENTS, get_context("spawn")) as pool:
                found = list(pool.map(_hammer, [(bench.server.port, name, seconds) for name in warm]))
            taken = [value for each in found for value in each]
            table.row(size, len(taken) / seconds, statistics.median(taken), percentile(taken, 95))
    print()
    people = Table(asked, "annotators", ("model", "annotators", "clicks", "median ms", "p95 ms", "refused"))
    for size in asked.sizes:
        with serving(asked, size, CACHE_MEMORY_BYTES=str(16 << 30), MAX_QUEUE="256") as bench:
            for crowd in (4,) if asked.quick else CROWDS:
                taken, refused = asyncio.run(_annotate(bench, crowd, 4.0 if asked.quick else 12.0))
                people.row(size, crowd, len(taken), statistics.median(taken), percentile(taken, 95), refused)
                if percentile(taken, 95) > LIMIT_MS:
                    break


def _hammer(asked: tuple[int, str, float]) -> list[float]:
    """In a process of its own: clicks on one warm image over a few connections, without pauses."""
    port, name, seconds = asked

    async def connection(session: aiohttp.ClientSession, until: float, taken: list[float]) -> None:
        turn = 0
        while time.monotonic() < until:
            turn += 1
            taken.append(await _click(session, port, name, turn))

    async def main() -> list[float]:
        taken: list[float] = []
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
            await _click(session, port, name, 0)
            until = time.monotonic() + seconds
            await asyncio.gather(*(connection(session, until, taken) for _ in range(CONNECTIONS)))
        return taken

    return asyncio.run(main())


async def _annotate(bench: Bench, crowd: int, seconds: float) -> tuple[list[float], int]:
    taken: list[float] = []
    refused = 0
    until = time.monotonic() + seconds

    async def annotator(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal refused
        await asyncio.sleep(random.uniform(0, EVERY))
        turn = random.randrange(CLICKS)
        name = ""
        while time.monotonic() < until:
            if turn % CLICKS == 0 or not name:
                name = bench.new_image()
                await _open(session, bench.server.port, name, number)
            await asyncio.sleep(EVERY)
            turn += 1
            try:
                taken.append(await _click(session, bench.server.port, name, turn))
            except aiohttp.ClientResponseError:
                refused += 1

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60), connector=connector) as session:
        await asyncio.gather(*(annotator(session, number) for number in range(crowd)))
    return taken, refused


async def _click(session: aiohttp.ClientSession, port: int, name: str, turn: int) -> float:
    body = click_body(name, 30 + turn % 40, 40 + turn % 20, WIDTH, HEIGHT, task=random.randrange(1 << 30))
    began = time.perf_counter()
    await _post(session, port, body)
    return 1000 * (time.perf_counter() - began)


async def _open(session: aiohttp.ClientSession, port: int, name: str, task: int) -> None:
    tasks = [{"id": task, "data": {"image": f"/data/local-files/?d={name}"}}]
    await _post(session, port, predict_body(tasks, None, SPLIT_CONFIG))


async def _post(session: aiohttp.ClientSession, port: int, body: dict[str, Any]) -> bytes:
    headers = {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}/predict"
    async with session.post(url, data=orjson.dumps(body), headers=headers, raise_for_status=True) as answer:
        return await answer.read()
