"""Which backend a real HAProxy gives a click to, while others are in progress."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.tests import haproxy

pytestmark = pytest.mark.integration
NAMES = ("gpu1", "gpu2", "gpu3", "gpu4")


@dataclass
class Backends:
    """Stand-ins that answer a click when they may. url: HAProxy's; arrived: a click that may not be answered yet.

    addresses: HOST:PORT by name.
    """

    url: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may_answer: threading.Event = field(default_factory=threading.Event)

    def click(self, task: int) -> str:
        """The backend that answered."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        body = json.dumps({"tasks": [{"id": task}]})
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        connection.close()
        return answer.headers["X-Name"]

    def handler(self, name: str) -> type[BaseHTTPRequestHandler]:
        backends = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if not backends.may_answer.is_set():
                    backends.arrived.release()
                    backends.may_answer.wait(60)
                self._answer()

            def _answer(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.send_header("X-Name", name)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    backends = Backends()
    with ExitStack() as stack:
        addresses = backends.addresses
        for name in NAMES:
            server = ThreadingHTTPServer(("127.0.0.1", 0), backends.handler(name))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            addresses[name] = f"127.0.0.1:{server.server_address[1]}"
        backends.url, _ = stack.enter_context(haproxy.running(tmp_path_factory.mktemp("haproxy"), addresses))
        yield backends


def test_clicks_meet_their_embedding_however_many_are_in_progress(backends: Backends) -> None:
    """A bound on each backend's share of what is in progress would send most of these where an encode is needed."""
    backends.may_answer.set()
    homes = {task: backends.click(task) for task in range(1, 61)}
    of_one = [task for task, name in homes.items() if name == "gpu1"][:6]
    assert len(of_one) == 6
    backends.may_answer.clear()
    with ThreadPoolExecutor(len(of_one)) as pool:
        answers = []
        for task in of_one:
            answers.append(pool.submit(backends.click, task))
            assert backends.arrived.acquire(timeout=60)
        backends.may_answer.set()
        assert [answer.result() for answer in answers] == ["gpu1"] * len(of_one)


def test_backends_have_about_the_same_number_of_tasks(backends: Backends) -> None:
    backends.may_answer.set()
    homes = [backends.click(task) for task in range(2000, 2400)]
    assert min(homes.count(name) for name in NAMES) >= 84, {name: homes.count(name) for name in NAMES}


def test_a_task_that_many_click_on_does_not_pile_up_on_one_backend(backends: Backends) -> None:
    backends.may_answer.set()
    hot, other = 1000, 1001
    home = backends.click(other)
    answers = [backends.click(hot) for _ in range(150)]
    assert len(set(answers[:50])) == 1
    assert min(answers[50:].count(name) for name in NAMES) >= 10
    assert {backends.click(other) for _ in range(5)} == {home}


def test_without_a_backend_only_its_own_tasks_move(backends: Backends, tmp_path: Path) -> None:
    backends.may_answer.set()
    before = {task: backends.click(task) for task in range(3000, 3100)}
    left = {name: address for name, address in backends.addresses.items() if name != "gpu2"}
    with haproxy.running(tmp_path, left) as (url, _):
        fewer = Backends(url, left)
        after = {task: fewer.click(task) for task in before}
    moved = {task for task, name in before.items() if after[task] != name}
    assert moved == {task for task, name in before.items() if name == "gpu2"}
