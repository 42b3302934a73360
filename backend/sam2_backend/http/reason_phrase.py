"""HTTP reason phrases that say what is wrong.

ASGI has no field for the reason phrase and uvicorn writes the standard one. Label Studio keeps nothing else of a failed
answer ("503 Server Error: <reason> for url: ..."), so the status that our responses carry is an `int` that knows its
phrase, and uvicorn's table of status lines is replaced by one that asks for it. Any other ASGI server sees a plain int.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http import httptools_impl

MAX_PHRASE_BYTES = 400


class StatusWithReason(int):
    """An HTTP status with its own reason phrase."""

    reason: str

    def __new__(cls, code: int, reason: str) -> StatusWithReason:
        status = super().__new__(cls, code)
        status.reason = reason
        return status


class _StatusLines(dict[int, bytes]):
    def __getitem__(self, code: int) -> bytes:
        if isinstance(code, StatusWithReason):
            return b"HTTP/1.1 %d %s\r\n" % (int(code), phrase(code.reason))
        return super().__getitem__(code)


def phrase(text: str) -> bytes:
    """One line of printable ASCII, as RFC 9112 section 4 wants it."""
    printable = "".join(letter if " " <= letter <= "~" else " " for letter in text.replace("→", "->"))
    return " ".join(printable.split()).encode("ascii")[:MAX_PHRASE_BYTES]


def install() -> None:
    """Make uvicorn's httptools protocol write the phrase of a `StatusWithReason`."""
    module: Any = httptools_impl
    if not isinstance(module.STATUS_LINE, _StatusLines):
        module.STATUS_LINE = _StatusLines(module.STATUS_LINE)
