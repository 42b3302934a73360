"""Structured logs: one JSON object a line, with the request's id; never a body, never a token."""

from __future__ import annotations

import contextvars
import json
import logging
import re
import sys
import traceback
from typing import Any

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

_SECRET = re.compile(
    r"(?i)((?:token|bearer|basic|password|signature|credential|x-amz-[a-z-]+|sig|access_token|api_key)[=: ]+)[^\s&\"']+"
)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if identifier := request_id.get():
            entry["request"] = identifier
        entry.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            entry["traceback"] = redact("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(entry, default=str, ensure_ascii=False)


def redact(text: str) -> str:
    """Cuts out what follows the words that introduce secrets in headers and signed URLs."""
    return _SECRET.sub(r"\1***", text)


def configure(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("PIL", "asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, root.level))


def fields(**values: Any) -> dict[str, Any]:
    """`extra=` for a log call."""
    return {"fields": values}
