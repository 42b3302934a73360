"""A stand-in for the SAM2 backend: a real HTTP server with Label Studio's ML contract and no model.

A click inside a drawn sample shape returns that shape's true mask. What fails, and how, is `Behaviour`.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from label_studio_sdk.converter.brush import mask2rle
from samstudio import samples

USER, PASSWORD = "label-studio", "stand-in-password"


@dataclass
class Behaviour:
    """What the stand-in does wrong; changed while it runs."""

    user: str = USER
    password: str = PASSWORD
    #: answers everyone
    open: bool = False
    #: the path below which it is published, as a proxy would
    prefix: str = ""
    #: path → status to answer with
    status: dict[str, int] = field(default_factory=dict)
    #: path → seconds to wait first
    delay: dict[str, float] = field(default_factory=dict)
    #: what /predict gives: `mask`, `wrong-mask`, `empty`, `text`
    predict: str = "mask"
    state: str = "ready"
    #: (method, path, body) of each request
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    #: task ids embedded, by project
    embedded: dict[int, set[int]] = field(default_factory=dict)
    #: task ids that cannot be embedded
    broken: set[int] = field(default_factory=set)
    #: how often one could not be
    failures: int = 0
    #: forgets what it accepted, as after a restart
    forgets: bool = False
    #: images still to embed; each look at the progress finds one fewer
    waiting: int = 0

    def accepts(self, password: str) -> bool:
        return password == self.password

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.seen]


@dataclass
class StandIn:
    url: str
    behaviour: Behaviour


@contextmanager
def running(host: str = "127.0.0.1", port: int = 0, behaviour: Behaviour | None = None) -> Iterator[StandIn]:
    behaviour = behaviour or Behaviour()
    server = ThreadingHTTPServer((host, port), type("Handler", (_Handler,), {"behaviour": behaviour}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield StandIn(f"http://{host}:{server.server_address[1]}", behaviour)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: bodies hold tokens, and pytest has enough to show."""

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = json.loads(body) if body else None
        below, _, rest = self.path.partition(self.behaviour.prefix) if self.behaviour.prefix else ("", "", self.path)
        parts = urlsplit(rest if not below else "/not/published")
        self.behaviour.seen.append((method, parts.path, asked))
        time.sleep(self.behaviour.delay.get(parts.path, 0))
        if parts.path in self.behaviour.status:
            return self._answer(self.behaviour.status[parts.path], {"detail": "as the test asked"})
        if parts.path in ("/", "/health"):
            ready = self.behaviour.state == "ready"
            up = {"status": "UP", "model": "stand-in"} if ready else {"status": "LOADING", "reason": "loading"}
            return self._answer(200 if ready else 503, up)
        if not self._allowed():
            return self._answer(401, {"detail": "basic auth"})
        if parts.path == "/predict" and self.behaviour.predict == "text":
            return self._answer(200, None, b"<html>ngrok</html>")
        known = {
            "/setup": self._setup,
            "/predict": self._predict,
            "/webhook": self._webhook,
            "/status": self._status,
            "/prewarm": self._prewarm,
        }
        if parts.path not in known:
            return self._answer(404, {"detail": "no such path"})
        return self._answer(*known[parts.path](asked, parse_qs(parts.query)))

    def _allowed(self) -> bool:
        given = (self.headers.get("Authorization") or "").removeprefix("Basic ")
        user, _, password = base64.b64decode(given).decode().partition(":")
        return self.behaviour.open or (user == self.behaviour.user and self.behaviour.accepts(password))

    def _answer(self, status: int, body: Any, raw: bytes | None = None) -> None:
        content = json.dumps(body).encode() if raw is None else raw
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if raw is None else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _setup(self, asked: Any, _: Any) -> tuple[int, Any]:
        return 200, {"model_version": "stand-in"}

    def _webhook(self, asked: Any, _: Any) -> tuple[int, Any]:
        return 200, {}

    def _status(self, asked: Any, _: Any) -> tuple[int, Any]:
        return 200, {
            "state": self.behaviour.state,
            "model": {"config": "stand-in", "checkpoint": "none", "sha256": "", "demo": True},
            "engine": {"name": "stand-in", "device": "none", "precision": "none", "image_size": 0},
            "versions": {"stand-in": "0"},
            "cache": {
                "memory_bytes": 0,
                "memory_entries": 0,
                "disk_bytes": 0,
                "disk_entries": 0,
                "hits_memory": 0,
                "hits_disk": 0,
                "misses": 0,
                "evictions": 0,
            },
            "queue": {"depth": 0, "limit": 8},
            "last_click": None,
            "projects": [],
            "last_errors": [],
        }

    def _prewarm(self, asked: Any, query: dict[str, list[str]]) -> tuple[int, Any]:
        if asked is None:
            total, waiting = len(self.behaviour.embedded.get(int(query["project"][0]), set())), self.behaviour.waiting
            self.behaviour.waiting = max(waiting - 1, 0)
            since_start = {"done": 0 if self.behaviour.forgets else total - waiting, "failed": self.behaviour.failures}
            return 200, {
                "total": total,
                "done": total - waiting,
                "failed": 0,
                "rate": 1.0,
                "errors": [],
                "since_start": since_start,
            }
        known = self.behaviour.embedded.setdefault(int(asked["project"]), set())
        new = {task["id"] for task in asked["tasks"]} - known
        known |= new - self.behaviour.broken
        self.behaviour.failures += len(new & self.behaviour.broken)
        return 202, {"accepted": len(new), "already": len(asked["tasks"]) - len(new)}

    def _predict(self, asked: Any, _: Any) -> tuple[int, Any]:
        context = asked["params"].get("context")
        if not context:
            return 200, {"results": [[] for _ in asked["tasks"]]}
        if self.behaviour.predict == "empty":
            return 200, {"results": [{"result": []}]}
        prompt = context["result"][0]
        value, size = prompt["value"], (prompt["original_width"], prompt["original_height"])
        file = PurePosixPath(unquote(asked["tasks"][0]["data"]["image"])).name
        middle = {
            side: value[side] + (value[length] / 2 if "height" in value else 0)
            for side, length in (("x", "width"), ("y", "height"))
        }
        point = (middle["x"] / 100 * size[0], middle["y"] / 100 * size[1])
        mask = _shape_at(file, point)
        rle = mask2rle((~mask if self.behaviour.predict == "wrong-mask" else mask).astype(np.uint8) * 255)  # type: ignore[no-untyped-call]
        item = {
            "id": "stand-in",
            "to_name": prompt["to_name"],
            "original_width": size[0],
            "original_height": size[1],
            "image_rotation": 0,
        }
        brush = {"format": "rle", "rle": rle}
        result = [
            {**item, "from_name": "mask", "type": "brush", "value": brush},
            {**item, "from_name": "label", "type": "labels", "value": {**brush, "labels": _labels(asked)}},
        ]
        return 200, {"results": [{"result": result, "score": 1.0, "model_version": "stand-in"}]}


def _labels(asked: Any) -> list[str]:
    values = [item["value"] for item in asked["params"]["context"]["result"]]
    return next(
        value[key] for value in values for key in ("labels", "keypointlabels", "rectanglelabels") if key in value
    )


def _shape_at(file: str, point: tuple[float, float]) -> Any:
    """The true mask of the sample's shape below a point; an empty one beside all shapes."""
    for scene in samples.SCENES:
        for shape in scene.shapes if scene.file == file else ():
            mask = samples.mask(shape)
            if mask[int(point[1]), int(point[0])]:
                return mask
    return np.zeros((samples.HEIGHT, samples.WIDTH), bool)
