"""Moments as files and people are told them."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
