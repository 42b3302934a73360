"""Which of a host's GPUs get a backend: what the setting says, and which backend keeps which GPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

ALL = ("all",)
_NAMED = re.compile(r"\d+|(GPU|MIG)-\S+")


def asked_gpus(value: Any) -> tuple[str, ...]:
    """What ``sam2_backend_gpus`` asks for: ``ALL``, indexes and UUIDs as nvidia-smi lists them, or () for one GPU.

    A list of an inventory, or the same on a command line, where it is text: ``all``, ``[0, 2]``, ``0,2``.

    Raises:
        ValueError: it is something else; the text says what was found and what was expected.
    """
    words = value if isinstance(value, (list, tuple)) else str("" if value is None else value).strip("[] ").split(",")
    asked = tuple(word for word in (str(word).strip(" '\"") for word in words) if word)
    if asked in ((), ALL) or all(_NAMED.fullmatch(word) for word in asked):
        return tuple(dict.fromkeys(asked))
    raise ValueError(
        f"Found sam2_backend_gpus={value}; expected all, or a list of what `nvidia-smi -L` shows: indexes ([0, 2]) or "
        "UUIDs (GPU-…, MIG-…)."
    )


def places(kept: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """The chosen devices in the order of their backends.

    A device that had a backend keeps it. The places of those that are gone are taken by new devices, then by the last
    ones, so that no backend moves to a device on which another one still runs.
    """
    placed: list[str | None] = [device if device in chosen else None for device in kept][: len(chosen)]
    placed += [None] * (len(chosen) - len(placed))
    new = [device for device in chosen if device not in kept]
    last = [device for device in chosen if device in kept and device not in placed]
    waiting = iter([*new, *last])
    return [device or next(waiting) for device in placed]
