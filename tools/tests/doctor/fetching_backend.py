"""The stand-in backend, made to fetch images as upstream's example backends do, and to fail as real ones do."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

import requests
from PIL import Image
from samstudio.labelstudio.client import token_kind

from tools.tests import stand_in_backend


@dataclass
class Trouble(stand_in_backend.Behaviour):
    """What goes wrong beyond the stand-in's own repertoire."""

    #: Label Studio's address and token as the backend has them
    label_studio_url: str = ""
    api_key: str = ""
    #: why the model could not be loaded
    failed: str = ""
    #: a page instead of every answer
    page: bytes = b""
    #: what the Date header says
    date: str = ""
    demo: bool = False
    error: str = ""


@dataclass
class Backend:
    url: str
    trouble: Trouble


@contextmanager
def running(port: int = 0) -> Iterator[Backend]:
    trouble = Trouble()
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"behaviour": trouble}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Backend(f"http://127.0.0.1:{server.server_address[1]}", trouble)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(stand_in_backend._Handler):
    behaviour: Trouble

    def _serve(self, method: str) -> None:
        if self.behaviour.page:
            return self._answer(200, None, self.behaviour.page)
        if self.behaviour.failed and self.path == "/health":
            return self._answer(503, {"status": "FAILED", "reason": self.behaviour.failed})
        return super()._serve(method)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.behaviour.date or super().date_time_string(timestamp)

    def _status(self, asked: Any, query: Any) -> tuple[int, Any]:
        code, told = super()._status(asked, query)
        return code, {**told, "model": {**told["model"], "demo": self.behaviour.demo}}

    def _prewarm(self, asked: Any, query: dict[str, list[str]]) -> tuple[int, Any]:
        if asked is None:
            failed = bool(self.behaviour.error)
            return 200, {
                "total": 1,
                "done": int(not failed),
                "failed": int(failed),
                "rate": 1.0,
                "errors": [self.behaviour.error] if failed else [],
            }
        self.behaviour.error = ""
        try:
            self._fetch(asked["tasks"][0]["data"]["image"])
        except OSError as error:  # of requests, or of an image that is none
            self.behaviour.error = str(error)
        return 202, {"accepted": 1, "already": 0}

    def _fetch(self, address: str) -> None:
        base, key = self.behaviour.label_studio_url, self.behaviour.api_key
        headers = {"Authorization": f"Token {key}"} if key else {}
        if token_kind(key) == "personal":
            traded = requests.post(f"{base}/api/token/refresh/", json={"refresh": key}, timeout=5)
            traded.raise_for_status()
            headers = {"Authorization": f"Bearer {traded.json()['access']}"}
        url = base + address if address.startswith("/") else address
        answer = requests.get(url, headers=headers, timeout=5)
        answer.raise_for_status()
        Image.open(io.BytesIO(answer.content)).verify()
