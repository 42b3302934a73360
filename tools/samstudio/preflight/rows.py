"""The table that preflight fills: its rows, and what was chosen on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the preflight table. `fix` is empty unless something stops the deployment."""

    what: str
    found: str
    use: str
    why: str = ""
    fix: str = ""


@dataclass
class Plan:
    """`kept`: what an earlier deploy of this host chose, `since` then; both empty where nothing is to be kept."""

    kept: Mapping[str, str] = field(default_factory=dict)
    since: str = ""
    rows: list[Row] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, found: str, use: str, why: str = "", fix: str = "") -> None:
        self.rows.append(Row(what, *map(masked, (found, use, why, fix))))

    def choose(self, key: str, value: str, what: str, found: str, why: str, fix: str = "") -> None:
        self.choices[key] = value
        self.add(what, found, value, why, fix)

    def as_chosen(self) -> str:
        return f"as chosen on {self.since}; --reconsider looks anew"

    def stops(self) -> bool:
        return any(row.fix for row in self.rows)


def masked(text: str) -> str:
    """Without the passwords and tokens of the addresses in it: https://user:…@host, https://…@host."""
    return re.sub(r"(?<=://)([^/\s:@]*:)?[^/\s]*@", r"\1…@", text)


def holds_password(address: str) -> bool:
    return masked(address) != address


def gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def table(plan: dict[str, Any]) -> list[str]:
    """The plan as lines of text: what, found, use, why, and what to change."""
    headers = ("what", "found", "will be used", "why")
    cells = [headers, *((row["what"], row["found"], row["use"] or "-", row["why"]) for row in plan["rows"])]
    limits = (18, 40, 34, 90)
    widths = [min(limit, max(len(line[column]) for line in cells)) for column, limit in enumerate(limits)]

    def text(line: tuple[str, ...]) -> str:
        return "  ".join(_fit(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()

    lines = [text(headers), "  ".join("-" * width for width in widths)]
    for row, line in zip(plan["rows"], cells[1:], strict=True):
        lines.append(text(line))
        if row["fix"]:
            lines.append(f"  >> {row['fix']}")
    return lines


def _fit(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"
