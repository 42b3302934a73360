"""Server processes of the tests: a port for one, waiting until it answers, ending it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def wait(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Return once a URL answers 200.

    Raises:
        RuntimeError: the process ended, or took too long; with its last words.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{_last_words(log)}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer within {seconds} s:\n{_last_words(log)}")


def stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End a server politely, and for certain."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def forwarding(address: tuple[str, int], path: Path) -> Iterator[None]:
    """Publish a server's Unix socket as a TCP port, as an engine publishes the port of a container."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as inside, contextlib.suppress(OSError):
                inside.connect(str(path))
                back = threading.Thread(target=_pump, args=(inside, self.request), daemon=True)
                back.start()
                _pump(self.request, inside)
                back.join()

    server = socketserver.ThreadingTCPServer(address, Forward)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
