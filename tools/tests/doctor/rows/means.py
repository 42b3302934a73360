"""What several rows do to a bench."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tools.tests.doctor.bench import Bench


def forged(token: str) -> str:
    """The token with another signature, as one of another SECRET_KEY has."""
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{signature[::-1]}"


def delete_tasks(bench: Bench) -> None:
    bench.studio.connection.http.delete(f"/api/projects/{bench.project}/tasks/").raise_for_status()


def only_task(bench: Bench, address: str) -> None:
    delete_tasks(bench)
    bench.task(address)


@contextmanager
def web_server(bench: Bench, whose: str, folder: Path, *, refuses: bool = False) -> Iterator[None]:
    """Some other web server where one of the pair is thought to be."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if not refuses:
                return super().do_GET()
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="ngrok"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bench.tell(**{whose: f"http://127.0.0.1:{server.server_port}"})
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def black_hole() -> Iterator[str]:
    """A port whose SYN packets the kernel drops, as a firewall does: its accept queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for client in waiting:
                client.close()
