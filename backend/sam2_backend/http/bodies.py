"""A request's body within a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec
import orjson
from starlette.requests import Request

from sam2_backend.label_studio.text_field import TYPED
from sam2_backend.problems import Problem
from sam2_backend.settings import MIB

ANNOTATED = " (Label Studio sends all annotations of a task with every click): raise MAX_BODY_BYTES of the backend"


class _Task(TypedDict, total=False):
    id: Any
    data: Any


class _Predict(TypedDict, total=False):
    """What is read of a /predict request for one task; its annotations, which may have megabytes, are skipped."""

    tasks: list[_Task]
    project: Any
    label_config: Any
    params: Any


_one_task = msgspec.json.Decoder(_Predict)


async def read_body(request: Request, limit: int, advice: str) -> bytes:
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
    return _object(await read_body(request, limit, ANNOTATED))


async def read_predict(request: Request, limit: int) -> Mapping[str, Any]:
    """As `read_json`. Of one task, which is what an annotator's page asks for, `id` and `data` alone.

    Unless the answer is made of what the task has: where the page's text field may be asking, or a negative point comes
    first, which takes up a mask.
    """
    body = await read_body(request, limit, ANNOTATED)
    try:
        asked = _one_task.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _object(body)  # which says what it is instead
    return asked if len(asked.get("tasks", ())) == 1 and not _of_the_task(asked.get("params")) else _object(body)


def _of_the_task(params: object) -> bool:
    context = params.get("context") if isinstance(params, Mapping) else None
    result = context.get("result") if isinstance(context, Mapping) else None
    if not isinstance(result, list):
        return False
    items = [item for item in result if isinstance(item, Mapping)]
    less = any(item.get("is_positive") in (False, 0) for item in items[:1])
    return not result or less or any(item.get("type") == TYPED for item in items)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(body)
    except ValueError:
        raise Problem(400, "request", "The request's body is not JSON.") from None
    if not isinstance(parsed, Mapping):
        raise Problem(400, "request", "The request's body must be a JSON object.")
    return parsed
