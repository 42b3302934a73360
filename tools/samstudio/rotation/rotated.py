"""What a rotation came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rotated:
    #: in words
    did: list[str]
    #: what it ended, and what is still to do, in sentences
    notes: list[str] = field(default_factory=list)
