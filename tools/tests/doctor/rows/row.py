"""A row: how a cause is produced for real, and where the doctor must find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.tests.doctor.bench import Bench

Sabotage = Callable[[Bench], object]


@dataclass(frozen=True)
class Row:
    cause: str
    link: str
    sabotage: Sabotage
    setup: str = "narrow"
    #: a warning does not break the chain
    warns: bool = False
    #: `--fix` mends it
    mends: bool = False

    @property
    def name(self) -> str:
        return f"{self.cause}-{self.sabotage.__name__}"


ROWS: list[Row] = []


def row(cause: str, link: str, **how: Any) -> Callable[[Sabotage], Sabotage]:
    def add(sabotage: Sabotage) -> Sabotage:
        ROWS.append(Row(cause, link, sabotage, **how))
        return sabotage

    return add
