"""A known way to fail: what people see of it, why it is so, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A section of docs/troubleshooting.md.

    ``texts`` are fragments of what people literally see; they document the cause and recognise it in an error.
    ``why`` and ``fix`` may hold ``{name}`` placeholders, filled from what was found out and shown in capitals where
    nothing is known. ``{register}`` is the command that connects this very pair (again).
    """

    id: str
    texts: tuple[str, ...]
    why: str
    fix: str

    def explain(self, facts: Mapping[str, object]) -> tuple[str, str]:
        """(why, fix) with every placeholder filled."""
        known = _Known(facts)
        return self.why.format_map(known), self.fix.format_map(known)

    def recognises(self, text: str) -> bool:
        """Whether one of ``texts`` occurs in ``text``; an ellipsis in a fragment stands for anything."""
        return any(re.search(_pattern(fragment), text, re.IGNORECASE | re.DOTALL) for fragment in self.texts)


def recognise(text: str, causes: Iterable[Cause]) -> Cause | None:
    """The first of ``causes`` that recognises ``text``."""
    return next((cause for cause in causes if cause.recognises(text)), None)


def _pattern(fragment: str) -> str:
    pattern = ".*?".join(re.escape(part) for part in fragment.split("…"))
    return pattern + r"(?!\d)" if fragment[-1].isdigit() else pattern


class _Known(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return name.upper().replace("_", "-")
