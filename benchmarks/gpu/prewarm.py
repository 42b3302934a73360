"""Images a second while a project is prewarmed: embeddings kept in memory, then written to the disk too."""

from __future__ import annotations

import time
from argparse import Namespace

from serving import begin_prewarming

from benchmarks.gpu.common import Table
from benchmarks.gpu.servers import serving

SECONDS = 60


def run(asked: Namespace) -> None:
    count = 6 if asked.quick else 400
    table = Table(asked, "prewarm", ("model", "kept", "images", "images a second", "failed"))
    for size in asked.sizes:
        for kept, disk in (("in memory", "0"), ("on the disk", str(20 << 30))):
            with serving(asked, size, CACHE_MEMORY_BYTES=str(8 << 30), CACHE_DISK_BYTES=disk) as bench:
                names = [bench.new_image() for _ in range(count)]
                began = time.monotonic()
                project = begin_prewarming(bench.server, names)
                progress = {"done": 0, "failed": 0}
                while progress["done"] + progress["failed"] < count and time.monotonic() < began + SECONDS:
                    time.sleep(0.02)
                    progress = bench.server.get(f"/prewarm?project={project}").json()
                table.row(
                    size, kept, progress["done"], progress["done"] / (time.monotonic() - began), progress["failed"]
                )
                assert progress["done"], progress
