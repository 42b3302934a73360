"""The chain, walked link by link; one is looked at only when those it needs hold, so the first broken one is blamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import httpx

from samstudio.doctor.link import Known, Link, Result, Status
from samstudio.doctor.links import CHAIN
from samstudio.doctor.pair import Pair
from samstudio.errors import SamstudioError
from samstudio.redact import redact


@dataclass(frozen=True)
class Finding:
    """One link's state, fit to be shown to others. ``cause`` names a section of docs/troubleshooting.md."""

    link: str
    status: Status
    evidence: str
    cause: str = ""
    why: str = ""
    fix: str = ""


@dataclass
class Walk:
    """A walk along the chain: iterate over it for the findings as they are made; leaving it closes its connection."""

    pair: Pair
    looking: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext()
    """Surrounds each look with what tells a person that it goes on."""
    findings: list[Finding] = field(default_factory=list)
    known: Known = field(default_factory=Known)

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_: object) -> None:
        if self.known.connection is not None:
            self.known.connection.close()

    def __iter__(self) -> Iterator[Finding]:
        unknown: set[str] = set()
        for link in CHAIN:
            missing = [name for name in link.needs if name in unknown]
            if missing:
                finding = Finding(link.name, Status.SKIPPED, f"not looked at: {', '.join(missing)} first")
            else:
                with self.looking(link.name):
                    finding = self._look(link)
            if missing or finding.status is Status.FAIL:
                unknown.add(link.name)
            self.findings.append(finding)
            yield finding

    def _look(self, link: Link) -> Finding:
        try:
            result = link.check(self.pair, self.known)
        except Exception as error:
            return _cut_off(link, self.pair, error)
        self.known = replace(self.known, **result.learned)
        return _finding(link, self.pair, self.known, result)

    @property
    def first_broken(self) -> Finding | None:
        return next((finding for finding in self.findings if finding.status is Status.FAIL), None)

    def mend(self) -> list[str]:
        """Do what is safe to do about what was found; what was done, in words."""
        found = {(finding.link, finding.cause) for finding in self.findings}
        mends = {link.mend for link in CHAIN for cause in link.mended if (link.name, cause.id) in found}
        return [line for mend in mends if mend for line in mend(self.pair, self.known)]


def examine(pair: Pair) -> list[Finding]:
    """What a walk along the whole chain finds."""
    with Walk(pair) as walk:
        return list(walk)


def look_at(name: str, pair: Pair) -> Finding:
    """One link alone, whatever it needs."""
    link = next(link for link in CHAIN if link.name == name)
    with Walk(pair) as walk:
        return walk._look(link)


def _finding(link: Link, pair: Pair, known: Known, result: Result) -> Finding:
    evidence = redact(result.evidence, pair.secrets)
    if result.cause is None:
        return Finding(link.name, result.status, evidence)
    project = known.project.id if known.project is not None else None
    facts = {name: value for name, value in result.facts.items() if value not in (None, "")}
    why, fix = result.cause.explain({**pair.facts(project), **facts})
    return Finding(
        link.name, result.status, evidence, result.cause.id, redact(why, pair.secrets), redact(fix, pair.secrets)
    )


def _cut_off(link: Link, pair: Pair, error: Exception) -> Finding:
    """A look that ended in an exception is no health."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SamstudioError):
        said, why, fix = error.found or error.message, error.message, error.command
    elif isinstance(error, httpx.HTTPError | OSError):
        why, fix = "The look at this link was cut off.", "samstudio doctor"
    else:
        why = "The answer was nothing that this check understands; perhaps another program answers there."
        fix = "see what listens there: ss -ltnp"
    return Finding(link.name, Status.FAIL, redact(said, pair.secrets), why=redact(why, pair.secrets), fix=fix)
