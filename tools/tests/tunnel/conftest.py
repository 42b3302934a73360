"""A backend with basic auth, and a stand-in for the ngrok agent."""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "label-studio", "a long enough password"
AUTHTOKEN = "2aStandInTokenThatNobodyMayEverSee_4Qx8"

StartBackend = Callable[..., str]
Seen = Callable[[], dict[str, Any]]


@pytest.fixture
def start_backend() -> Iterator[StartBackend]:
    """Start real HTTP servers that answer as a backend does; returns their URL."""
    servers = []

    def start(*, auth: bool = True) -> str:
        class Backend(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                allowed = not auth or self.path == "/health" or self.headers.get("Authorization") == expected
                body = json.dumps({"status": "UP", "path": self.path}).encode()
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stand_in_agent(tmp_path: Path) -> str:
    """The path of an executable that behaves as the ngrok agent does."""
    agent = tmp_path / "ngrok"
    agent.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("stand_in_agent.py")} "$@"\n')
    agent.chmod(0o755)
    return str(agent)


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What the agent saw of its own start."""
    file = tmp_path / "seen.json"
    monkeypatch.setenv("STAND_IN_SEEN", str(file))
    return lambda: json.loads(file.read_text())
