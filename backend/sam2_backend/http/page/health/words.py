"""Moments, spans and amounts as people read them."""

from __future__ import annotations

import time

MEGABYTE = 1e6


def clock(moment: float) -> str:
    """moment: seconds since 1970. All times are UTC, as in the log and in /status."""
    return time.strftime("%H:%M", time.gmtime(moment))


def day_and_clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def span(seconds: float) -> str:
    """To the two largest units."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if minutes < 1:
        return f"{max(int(seconds), 0)} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def seconds(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def size(count: float) -> str:
    """count: bytes."""
    return f"{count / 1000 / MEGABYTE:.1f} GB" if count >= 1000 * MEGABYTE else f"{count / MEGABYTE:.0f} MB"


def many(count: int, one: str, more: str = "") -> str:
    """`1 click`, `1,204 clicks`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
