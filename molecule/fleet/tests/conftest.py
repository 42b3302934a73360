"""The hosts of the fleet by name, and clicks that go on while something happens to it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]

PYTHON = "/opt/samstudio/venv/bin/python"
HERE = Path(__file__).parent
COPIES = 12


@dataclass
class Clicks:
    """Outcomes of clicks: `at`, `task`, `iou`, `error`."""

    outcomes: list[dict[str, Any]] = field(default_factory=list)

    def failed(self, *, after: float = 0.0) -> list[dict[str, Any]]:
        return [click for click in self.outcomes if click["at"] > after and click["iou"] < 0.8]


class Fleet:
    """The hosts by name, and what Label Studio's host knows of its backends."""

    def host(self, name: str) -> Any:
        return testinfra.get_host(f"docker://{name}")

    @property
    def studio(self) -> Any:
        return self.host("fleet-studio")

    def tools(self, *words: str) -> Any:
        done = self.studio.run(f"samstudio {' '.join(words)} --json")
        assert done.rc == 0, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def states(self) -> dict[str, str]:
        """Exit code 1 is an answer here: a backend that is down."""
        done = self.studio.run("samstudio backends list --json")
        assert done.rc in (0, 1), f"{done.stdout}\n{done.stderr}"
        return {server["name"]: server["state"] for server in json.loads(done.stdout)["backends"]}

    def python(self, name: str, script: Path, *arguments: str, given: str = "") -> subprocess.Popen[str]:
        """A script of this folder, begun on a host."""
        subprocess.run(["docker", "cp", script, f"{name}:/tmp/{script.name}"], check=True)
        python = PYTHON if name == "fleet-studio" else "python3"
        argv = ["docker", "exec", "--interactive", name, python, f"/tmp/{script.name}", *arguments]
        begun = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert begun.stdin is not None
        begun.stdin.write(given)
        begun.stdin.close()
        begun.stdin = None
        return begun

    def reach(self, name: str, address: str, port: int = 9090) -> str:
        """`open`, or how a connection from that host failed."""
        script = (
            "import socket\n"
            f"try: socket.create_connection(('{address}', {port}), timeout=3); print('open')\n"
            "except OSError as error: print(type(error).__name__)"
        )
        return str(self.host(name).check_output(f'python3 -c "{script}"'))

    def eventually(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:.0f} s"
            time.sleep(1)

    @contextmanager
    def clicking(self, tasks: list[int]) -> Iterator[Clicks]:
        """Clicks through Label Studio, one after the other, around the block: each task has a turn before and after."""
        stop, outcomes = "/tmp/clicker.stop", "/tmp/clicker.json"
        self.studio.check_output(f"rm -f {stop} {outcomes}")
        clicker = self.python("fleet-studio", HERE / "clicker.py", ",".join(map(str, tasks)), stop, outcomes)

        def done() -> int:
            assert clicker.poll() is None, clicker.communicate()[1]
            return int(self.studio.run(f"cat {outcomes} 2>/dev/null | wc -l").stdout)

        clicks = Clicks()
        try:
            self.eventually(lambda: done() >= len(tasks))
            yield clicks
            enough = done() + len(tasks)
            self.eventually(lambda: done() >= enough, 120)
        finally:
            self.studio.check_output(f"touch {stop}")
            clicker.communicate(timeout=150)
        clicks.outcomes += map(json.loads, self.studio.check_output(f"cat {outcomes}").splitlines())


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture(scope="session")
def tasks(fleet: Fleet) -> list[int]:
    """Tasks enough for both backends to get some: copies of the first drawn sample."""
    importer = fleet.python("fleet-studio", HERE / "importer.py", str(COPIES))
    said, complained = importer.communicate(timeout=120)
    assert importer.returncode == 0, complained
    made: list[int] = json.loads(said)
    assert len(made) == COPIES
    return made
