"""Take secrets and home paths out of text that people paste into issues."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "[redacted]"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),  # JSON web tokens: personal access tokens, access tokens
    (re.compile(r"(?i)\b(authorization\W+)(?:(?:basic|bearer|token)\s+)?[^\s\"',}]+"), rf"\g<1>{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[\w.~+/-]{16,}=*"), rf"\g<1> {HIDDEN}"),
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), rf"\g<1>{HIDDEN}@"),
    (re.compile(r"(?i)(your authtoken: *)[^\s\\\"]+"), rf"\g<1>{HIDDEN}"),  # ngrok prints the token it refuses
    (
        re.compile(
            r"(?i)(\w*(?:token|password|passwd|secret|api_key|basic_auth_pass)\w*[\"']?\s*[=:]\s*[\"']?)[^\s\"',}&]+"
        ),
        rf"\g<1>{HIDDEN}",
    ),
    (re.compile(r"(?<![\w/])/(?:home|Users)/[^/\s\"':]+"), "~"),
    (re.compile(r"(?<![\w/])/root(?=/|\b)"), "~"),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without the given secrets, without what looks like one, and with home paths as ``~``."""
    for secret in sorted((s for s in secrets if s), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
