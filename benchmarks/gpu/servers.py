"""Servers with random weights, and images that are new to them."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from serving import Annotator, Running, click_body, photograph, server_environment

from benchmarks.gpu.common import checkpoint_of, config_of

WIDTH, HEIGHT = 1024, 768
PROVOKED = str(Path(__file__).with_name("provoked_server.py"))
_numbers = itertools.count(1)


class Bench:
    """A server, and the folder that it reads images from."""

    def __init__(self, server: Running, images: Path) -> None:
        self.server = server
        self._images = images
        self._files: dict[tuple[int, int], list[bytes]] = {}

    def new_image(self, width: int = WIDTH, height: int = HEIGHT) -> str:
        """The name of an image that no server has seen: one of a few photographs, with another end of its file."""
        known = self._files.setdefault((width, height), [])
        if len(known) < 4:
            known.append(photograph(width, height, len(known)))
        number = next(_numbers)
        name = f"{number}.jpg"
        (self._images / name).write_bytes(known[number % len(known)] + number.to_bytes(8, "big"))
        return name

    def click(self, annotator: Annotator, name: str, turn: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
        # A point of its own each time, on a task of its own: nothing but the embedding may be reused.
        body = click_body(name, 30 + turn % 40, 40 + turn % 20, width, height, task=next(_numbers))
        return annotator.predict(body)


@contextlib.contextmanager
def serving(asked: Namespace, size: str, **environment: str) -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="sam2-bench-") as folder,
        start(asked, size, folder, **environment) as bench,
    ):
        bench.server.wait_ready()
        yield bench


@contextlib.contextmanager
def start(asked: Namespace, size: str, folder: str, **environment: str) -> Iterator[Bench]:
    """Does not wait until the server is ready."""
    images, cache, converted = Path(folder) / "images", Path(folder) / "cache", asked.out.resolve() / "openvino"
    for made in (images, cache, converted):
        made.mkdir(exist_ok=True)
    # Without a card the CPU's engine serves, which converts the model: once for all servers.
    (cache / "openvino").symlink_to(converted)
    model = Namespace(device=asked.device, config=config_of(size))
    settings = server_environment(model, checkpoint_of(size, asked.out).resolve(), Path(folder))
    server = Running([PROVOKED], settings | {"PROVOKE_SMOOTH": "1"} | environment)
    try:
        yield Bench(server, images)
    finally:
        server.stop()
