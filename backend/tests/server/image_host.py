"""A stand-in for image hosts and for Label Studio's odd answers: hangs, redirects, sign-in pages, cut-off files."""

from __future__ import annotations

import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image


def picture(colour: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (128, 96), **options: Any) -> bytes:
    """A plain PNG (or `format=`) of one colour."""
    return encoded(np.full((size[1], size[0], 3), colour, np.uint8), **options)


def encoded(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    """A PNG (or `format=`) of (height, width, 3 or 4) uint8."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **({"format": "PNG"} | options))
    return file.getvalue()


class ImageHost:
    """`files` by path, below /data/upload too; `requests` as (path, headers). Paths under /odd/ misbehave.

    As an HTTP proxy it answers for every host.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/a.png": picture(), "/b.png": picture((40, 200, 40))}
        self.requests: list[tuple[str, dict[str, str]]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.requests.append((self.path, dict(self.headers)))
                host.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                host.requests.append((self.path, dict(self.headers)))
                host.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.redirect_to = ""
        self.accepts_token = ""
        self.refresh_answer = b""
        self.access_token = "eyJhbGciOiJub25lIn0.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.x"

    def __enter__(self) -> ImageHost:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def seen(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.requests if asked.startswith(path)]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path.removeprefix("/data/upload")
        if path in self.files:
            if self.accepts_token and request.headers.get("Authorization") != self.accepts_token:
                _send(request, 401, b'{"detail":"Invalid token."}')
                return
            _send(request, 200, self.files[path])
        elif path == "/api/token/refresh/":
            _send(request, 200, self.refresh_answer or json.dumps({"access": self.access_token}).encode())
        elif path == "/odd/hang":
            time.sleep(8)
        elif path == "/odd/slow":
            request.send_response(200)
            request.send_header("Content-Length", "1000000")
            request.end_headers()
            for _ in range(80):
                try:
                    request.wfile.write(b"x" * 10)
                    request.wfile.flush()
                except OSError:
                    return
                time.sleep(0.1)
        elif path == "/odd/sign-in":
            _send(request, 200, b"<!DOCTYPE html><html><body>Log in</body></html>")
        elif path == "/odd/status":
            _send(request, int(parse_qs(urlsplit(request.path).query)["code"][0]), b"no")
        elif path == "/odd/redirect":
            _send(request, 302, b"", Location=self.redirect_to)
        elif path == "/odd/loop":
            _send(request, 302, b"", Location="/odd/loop")
        elif path == "/odd/empty":
            _send(request, 200, b"")
        elif path == "/odd/cut":
            _send(request, 200, picture(format="JPEG", size=(600, 400))[:900])
        elif path == "/odd/endless":
            request.send_response(200)
            request.end_headers()
            try:
                for _ in range(10_000):
                    request.wfile.write(b"\0" * 65536)
            except OSError:
                return
        else:
            _send(request, 404, b"nothing here")


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
