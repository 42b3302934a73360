"""A request's body within a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request

from sam2_backend.problems import Problem

MIB = 1 << 20


async def read(request: Request, limit: int, advice: str) -> bytes:
    """Raises Problem (413) as soon as more than `limit` bytes are announced or came."""
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not announced.isdigit() or int(announced) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise Problem(413, "request", f"The request is larger than {limit / MIB:.3g} MiB{advice}.")


async def read_json(request: Request, limit: int) -> Mapping[str, Any]:
    """Raises Problem for a body that is too large or no JSON object."""
    body = await read(
        request,
        limit,
        " (Label Studio sends all annotations of a task with every click): raise MAX_BODY_BYTES of the backend",
    )
    try:
        parsed = orjson.loads(body)
    except ValueError:
        raise Problem(400, "request", "The request's body is not JSON.") from None
    if not isinstance(parsed, Mapping):
        raise Problem(400, "request", "The request's body must be a JSON object.")
    return parsed
