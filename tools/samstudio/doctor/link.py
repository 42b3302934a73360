"""A link of the chain, and what looking at it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from samstudio.causes import Cause
from samstudio.doctor.pair import Pair

if TYPE_CHECKING:
    from samstudio.labelstudio import LabelStudio
    from samstudio.labelstudio.label_config import LabelConfig


class Status(str, Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Known:
    """What earlier links learned. A link may count on what the links that it needs have learned."""

    health: Mapping[str, Any] = field(default_factory=dict)
    """The backend's answer to /health."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """The backend's answer to /status."""
    version: str = ""
    """Label Studio's."""
    connection: LabelStudio | None = None
    project: Any = None
    config: LabelConfig | None = None
    record: Any = None
    task: Mapping[str, Any] | None = None
    click_milliseconds: float | None = None

    def label_studio(self) -> LabelStudio:
        """The authorised connection, for links that need the token link."""
        assert self.connection is not None
        return self.connection


@dataclass(frozen=True)
class Result:
    """What a check gives: the evidence, the cause where something is wrong, and what later links may know.

    ``facts`` fill the cause's placeholders; ``learned`` are fields of `Known`.
    """

    status: Status
    evidence: str
    cause: Cause | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """``needs`` are the links without which there is nothing to look at.

    ``mend`` does what `--fix` may do when one of ``mended`` was found here; it gives what was done, in words.
    """

    name: str
    check: Callable[[Pair, Known], Result]
    needs: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    mended: tuple[Cause, ...] = ()
    mend: Callable[[Pair, Known], list[str]] | None = None


def ok(evidence: str, **learned: Any) -> Result:
    return Result(Status.OK, evidence, learned=learned)


def skipped(why: str, **learned: Any) -> Result:
    """Nothing to look at here."""
    return Result(Status.SKIPPED, why, learned=learned)


def broken(cause: Cause, evidence: object, **facts: object) -> Result:
    return Result(Status.FAIL, str(evidence), cause, facts)


def warning(cause: Cause, evidence: object, *, learned: Mapping[str, Any] | None = None, **facts: object) -> Result:
    """Something is not as it should be, and the chain holds all the same."""
    return Result(Status.WARN, str(evidence), cause, facts, learned or {})
