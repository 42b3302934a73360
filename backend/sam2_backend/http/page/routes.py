"""`/ui`: the page, its script and style, sample drawings, and two calls that show what the model does with an image."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from sam2_backend.backend import Backend
from sam2_backend.demo import SAMPLES
from sam2_backend.http.bodies import read, read_json
from sam2_backend.http.responses import JsonResponse
from sam2_backend.label_studio.regions import drawn_objects
from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.problems import Problem
from sam2_backend.steps import Steps

FOLDER = Path(__file__).parent
MASK_SIDE = 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def ui_routes(backend: Backend) -> list[Route]:
    page = _Page(backend)
    return [
        Route("/ui", page.file("page.html"), methods=["GET"]),
        Route("/ui/page.js", page.file("page.js"), methods=["GET"]),
        Route("/ui/page.css", page.file("page.css"), methods=["GET"]),
        Route("/ui/sample/{number:int}.jpg", page.sample, methods=["GET"]),
        Route("/ui/image", page.image, methods=["POST"]),
        Route("/ui/mask", page.mask, methods=["POST"]),
    ]


class _Page:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def file(self, name: str) -> Any:
        async def answer(_: Request) -> Response:
            return FileResponse(FOLDER / name, headers=HEADERS)

        return answer

    async def sample(self, request: Request) -> Response:
        number = request.path_params["number"]
        if not 0 <= number < len(SAMPLES):
            raise Problem(404, "ui", f"There are samples 0 to {len(SAMPLES) - 1}.")
        return FileResponse(SAMPLES[number], headers=HEADERS)

    async def image(self, request: Request) -> Response:
        """An image file as body → its content hash and size."""
        serving = await self._backend.ready()
        data = await read(request, self._backend.settings.limits.image_bytes, ": raise MAX_IMAGE_BYTES of the backend")
        steps = Steps()
        async with serving.gate.enter():
            image = await serving.embeddings.put(data, steps)
        return JsonResponse(
            {
                "image": image.key.content,
                "width": image.width,
                "height": image.height,
                "milliseconds": steps.milliseconds(),
            }
        )

    async def mask(self, request: Request) -> Response:
        """{"image": hash, "result": regions as the editor sends them} → PNG of the mask; score and times as headers."""
        serving = await self._backend.ready()
        body = await read_json(request, self._backend.settings.limits.body_bytes)
        steps = Steps()
        drawn = drawn_objects(body.get("result"))[0]
        async with serving.gate.enter():
            image = await serving.embeddings.of_content(str(body.get("image", "")), steps)
            logits, score = await serving.predictor.mask("ui", image, drawn.prompt(), drawn.strokes, steps)
            with steps.measure("render"):
                png = await asyncio.to_thread(_png, Mask(logits, image.width, image.height))
        timing = ", ".join(f"{step};dur={value}" for step, value in steps.milliseconds().items())
        return Response(png, media_type="image/png", headers={"X-Score": f"{score:.4f}", "Server-Timing": timing})


def _png(mask: Mask) -> bytes:
    """Half-transparent blue inside, transparent outside; no larger than the page shows it."""
    pixels = mask.pixels(MASK_SIDE)
    layered = np.zeros((*pixels.shape, 4), np.uint8)
    layered[pixels > 0] = (235, 120, 30, 150)
    done, png = cv2.imencode(".png", layered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return png.tobytes()
