"""Answers as JSON, and problems as answers."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from sam2_backend.http.reason_phrase import StatusWithReason
from sam2_backend.problems import Problem


class JsonResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


def problem_response(problem: Problem) -> Response:
    """The problem as JSON and as reason phrase."""
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="sam2-backend"'
    body = {"status": "error", "where": problem.where, "error": problem.message}
    return JsonResponse(body, status_code=StatusWithReason(problem.status, problem.message), headers=headers)
