"""What the doctor found out about one link."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from samstudio.doctor.cause import Cause


class Status(str, Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One link's state. ``cause`` names a row of docs/troubleshooting.md; ``evidence`` is what was seen."""

    link: str
    status: Status
    evidence: str
    cause: str = ""
    why: str = ""
    fix: str = ""


class Blame(Exception):
    """Raised by a check that found a cause; ``facts`` fill its placeholders."""

    def __init__(self, cause: Cause, evidence: object, *, status: Status = Status.FAIL, **facts: object) -> None:
        super().__init__(cause.id)
        self.cause = cause
        self.evidence = str(evidence)
        self.status = status
        self.facts = facts


class Skip(Exception):
    """Raised by a check that has nothing to look at here; says why."""
