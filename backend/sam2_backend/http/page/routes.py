"""`/ui`: the page, its scripts, style and sample images, and the calls that show what the model does with an image."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from sam2_backend.backend import Backend, Serving
from sam2_backend.http.bodies import read_body, read_json
from sam2_backend.http.page.health.page import page as health_page
from sam2_backend.http.page.health.verdict import Seen
from sam2_backend.http.responses import JsonResponse
from sam2_backend.label_studio.regions import DrawnObject, begun, drawn_objects
from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.gate import ClickGate
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.steps import Steps

FOLDER = Path(__file__).parent
# Drawn by docs/make/scenes.py: JPEG files of 1024 x 768.
SAMPLES = ("cells", "leaves", "bench")
SCRIPTS_AND_STYLE = ("page.js", "asking.js", "panel.js", "page.css", "health/health.css")
FILES = (*SCRIPTS_AND_STYLE, *(f"samples/{name}.jpg" for name in SAMPLES))
MASK_SIDE = 1024
# Image files that are taken in at once, each of up to MAX_IMAGE_BYTES; others wait on their connections.
UPLOADS = 2
# Red, green, blue and opacity outside a mask, inside, and at its rim.
COLOURS = ((0, 0, 0, 0), (30, 120, 235, 130), (255, 255, 255, 255))
RIM = np.ones((5, 5), np.uint8)
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def ui_routes(backend: Backend) -> list[Route]:
    page = _Page(backend)
    return [
        Route("/ui", _file("page.html"), methods=["GET"]),
        *(Route(f"/ui/{name}", _file(name), methods=["GET"]) for name in FILES),
        Route("/ui/health", page.health, methods=["GET"]),
        Route("/ui/image", page.image, methods=["POST"]),
        Route("/ui/mask", page.mask, methods=["POST"]),
        Route("/ui/preview", page.preview, methods=["POST"]),
    ]


def _file(name: str) -> Any:
    async def answer(_: Request) -> Response:
        return FileResponse(FOLDER / name, headers=HEADERS)

    return answer


class _Page:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        limits = backend.settings.limits
        self._uploads = asyncio.Semaphore(UPLOADS)
        self._previews = ClickGate(limits.interactive, limits.predict_seconds)

    async def health(self, _: Request) -> Response:
        """How the backend does now, and did in the last day."""
        settings, recorder = self._backend.settings, self._backend.recorder
        free, disk = await asyncio.to_thread(_disk, settings.cache_dir)
        seen = Seen(time.time(), recorder.started, self._backend.status(), recorder.day(), free, disk)
        html = await asyncio.to_thread(health_page, seen, settings.cache_disk_bytes)
        return Response(html, media_type="text/html", headers=HEADERS)

    async def image(self, request: Request) -> Response:
        """An image file as body → its content hash and size, where its embedding was, and how long each step took."""
        serving = await self._backend.ready()
        limit = self._backend.settings.limits.image_bytes
        steps = Steps()
        async with self._uploads, serving.inference.gate.enter():
            data = await read_body(request, limit, ": raise MAX_IMAGE_BYTES of the backend")
            image, outcome = await serving.inference.embeddings.put(data, steps)
        return JsonResponse(
            {
                "image": image.key.content,
                "width": image.width,
                "height": image.height,
                "cache": outcome,
                "milliseconds": steps.milliseconds(),
            }
        )

    async def mask(self, request: Request) -> Response:
        """{"image": hash, "result": regions as the editor sends them} → PNG of the mask; headers as `_answer` says."""
        serving, content, drawn = await self._asked(request)
        steps = Steps()
        async with serving.inference.gate.enter():
            image, outcome = await serving.inference.embeddings.of_content(content, Urgency.CLICK, steps)
            logits, score = await serving.inference.predictor.mask("ui", image, drawn.prompt(), drawn.strokes, steps)
            return await _answer(image, logits, {"X-Score": f"{score:.4f}", "X-Cache": outcome}, steps)

    async def preview(self, request: Request) -> Response:
        """The same for a place that the mouse is over. No click waits for it: it has a gate of its own."""
        serving, content, drawn = await self._asked(request)
        steps = Steps()
        async with self._previews.enter():
            image, outcome = await serving.inference.embeddings.of_content(content, Urgency.PREVIEW, steps)
            logits, score = await serving.inference.predictor.alone(image, drawn.prompt(), Urgency.PREVIEW, steps)
            return await _answer(image, logits, {"X-Score": f"{score:.4f}", "X-Cache": outcome}, steps)

    async def _asked(self, request: Request) -> tuple[Serving, str, DrawnObject]:
        serving = await self._backend.ready()
        body = await read_json(request, self._backend.settings.limits.body_bytes)
        return serving, str(body.get("image", "")), begun(drawn_objects(body.get("result")))[0]


def _disk(folder: Path) -> tuple[int | None, int | None]:
    """Free bytes of the disk that it is on, and all; None where that cannot be told."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None, None
    return usage.free, usage.total


async def _answer(image: PreparedImage, logits: NDArray[np.float32], headers: dict[str, str], steps: Steps) -> Response:
    """The mask as PNG. Server-Timing: milliseconds of each step and in all, as browsers' tools show them."""
    with steps.measure("render"):
        png = await asyncio.to_thread(_png, Mask(logits, image.width, image.height))
    timing = ", ".join(f"{step};dur={value}" for step, value in steps.milliseconds().items())
    return Response(png, media_type="image/png", headers={**headers, "Server-Timing": timing})


def _png(mask: Mask) -> bytes:
    """Half-transparent blue with a white rim, no larger than the page shows it. Two bits a pixel."""
    inside = (mask.pixels(MASK_SIDE) > 0).astype(np.uint8)
    rim = inside - cv2.erode(inside, RIM, borderValue=0)
    height, width = inside.shape
    picture = Image.frombytes("P", (width, height), (inside + rim).tobytes())
    picture.putpalette(bytes(level for colour in COLOURS for level in colour[:3]))
    png = io.BytesIO()
    picture.save(png, "PNG", transparency=bytes(colour[3] for colour in COLOURS), bits=2, compress_level=1)
    return png.getvalue()
