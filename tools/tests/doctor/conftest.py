from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from samstudio import samples, ssrf

from tools.tests import label_studio, servers
from tools.tests.doctor import fetching_backend
from tools.tests.doctor.bench import IMAGE, Bench, Studio

NARROW = ssrf.narrow_environment(ssrf.KNOWN, ["127.0.0.1"])
#: The ways a Label Studio is set up; each is started once, when the first row wants it.
SETUPS: dict[str, dict[str, Any]] = {
    "narrow": {"settings": NARROW},
    "guarded": {"settings": label_studio.GUARDED, "public_url": "127.0.0.1:8080"},
    "half-open": {"settings": {"ML_BLOCK_LOCAL_IP": "false"}, "public_url": "http://127.0.0.1:9"},
    "contained": {"settings": NARROW, "contained": True},
    "open": {"settings": ssrf.broad_environment()},
    "proxied": {
        "settings": {**NARROW, "HTTP_PROXY": "http://127.0.0.1:9"},
        "public_url": "http://127.0.0.1:{port}/projects/3",
    },
}


@pytest.fixture(scope="session")
def studios(tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path) -> Iterator[Callable[[str], Studio]]:
    running: dict[str, Studio] = {}
    with ExitStack() as stack:

        def start(setup: str) -> Studio:
            if setup not in running:
                folder = tmp_path_factory.mktemp("ls") / setup
                how, port = dict(SETUPS[setup]), servers.free_port()
                if "public_url" in how:
                    how["public_url"] = str(how["public_url"]).format(port=port)
                server = stack.enter_context(label_studio.running(folder, label_studio_cache, port=port, **how))
                running[setup] = Studio.of(server)
                stack.callback(running[setup].connection.close)
                stack.callback(server.process.kill)  # a graceful end waits for idle connections
            return running[setup]

        yield start


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    samples.draw(folder)
    return next(iter(sorted(folder.glob("*.png"))), folder / IMAGE)


@pytest.fixture
def bench(
    studios: Callable[[str], Studio], drawn: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    """A healthy pair; parametrise indirectly with a setup other than `narrow`."""
    setup = getattr(request, "param", "narrow")
    with fetching_backend.running() as backend, ExitStack() as stack:
        made = Bench(studios(setup), backend, tmp_path, stack)
        if setup in ("narrow", "open"):
            made.connect()
        else:
            made.connect_behind_the_guard()
        made.upload(drawn)
        yield made
