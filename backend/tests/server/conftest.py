"""Real server processes, an image host, and Label Studio's way of asking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from image_host import ImageHost
from running import Running

StartServer = Callable[..., Running]


@pytest.fixture(scope="session")
def image_host() -> Iterator[ImageHost]:
    with ImageHost() as host:
        yield host


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for all real servers, so that the demo model is converted once."""
    return tmp_path_factory.mktemp("demo-cache")


@pytest.fixture(scope="session")
def demo_server(converted: Path) -> Iterator[Running]:
    """A server with the real OpenVINO engine and the demo model."""
    running = Running(["sam2_backend"], {"CACHE_DIR": str(converted), "DEVICE": "cpu"})
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts server processes with the stand-in engine; they end with the test."""
    running: list[Running] = []

    def start(*arguments: str, wait: bool = True, **environment: str) -> Running:
        environment.setdefault("CACHE_DIR", str(tmp_path / "cache"))
        server = Running(["stand_in_server.py", *arguments], environment)
        running.append(server)
        if wait:
            server.wait_ready()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server with the stand-in engine for all tests of a module that do not need their own."""
    running = Running(["stand_in_server.py"], {"CACHE_DIR": str(tmp_path_factory.mktemp("cache"))})
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()
