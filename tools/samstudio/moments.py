"""Moments as files and people are told them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

STAMP = "%Y%m%dT%H%M%SZ"


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def stamp() -> str:
    """UTC, to the second, as part of a name."""
    return datetime.now(timezone.utc).strftime(STAMP)


def ago(days: int) -> str:
    """So many days before now, as `now` writes it; earlier moments sort before it."""
    return (datetime.now(timezone.utc) - timedelta(days=days)).isoformat(timespec="seconds")
