"""The chain, link by link; a link is looked at only when those it hangs on hold, so the first broken one is blamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import httpx

from samstudio.doctor.checks import backend, containers, host, picture, project, setting, studio
from samstudio.doctor.finding import Blame, Finding, Skip, Status
from samstudio.doctor.patient import Examination, Patient
from samstudio.doctor.redact import redact
from samstudio.errors import SamstudioError


@dataclass(frozen=True)
class Link:
    name: str
    check: Callable[[Examination], str]
    needs: tuple[str, ...] = ()


CHAIN: tuple[Link, ...] = (
    Link("settings", setting.settings),
    Link("engine", containers.engine),
    Link("containers", containers.containers, ("engine",)),
    Link("network", backend.network, ("settings", "containers")),
    Link("backend", backend.backend, ("network",)),
    Link("backend-auth", backend.backend_auth, ("backend",)),
    Link("label-studio", studio.label_studio, ("settings", "containers")),
    Link("label-studio-host", studio.label_studio_host, ("label-studio",)),
    Link("token", studio.token, ("label-studio",)),
    Link("ssrf", studio.ssrf, ("label-studio",)),
    Link("project", project.project, ("token",)),
    Link("label-config", project.labeling_config, ("project",)),
    Link("ml-record", project.ml_record, ("project", "backend-auth", "ssrf")),
    Link("webhook", project.webhook, ("ml-record",)),
    Link("interactive", project.interactive, ("ml-record",)),
    Link("image", picture.image, ("label-config", "backend-auth")),
    Link("click", picture.click, ("ml-record", "interactive", "image")),
    Link("latency", picture.latency, ("click",)),
    Link("tunnel", host.tunnel),
    Link("clock", host.clock, ("backend", "label-studio")),
    Link("disk", host.disk),
    Link("gpu", host.gpu),
)


@contextmanager
def examine(
    patient: Patient, *, heard: Callable[[Finding], None] = lambda _: None,
    looking: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> Iterator[Examination]:  # fmt: skip
    """Look at every link; `findings` are fit to be shown to others. Leaving closes the connection to Label Studio.

    Args:
        heard: is told each finding as it is made.
        looking: surrounds each look with what tells a person that it goes on.
    """
    x = Examination(patient)
    try:
        for finding in _walk(x, looking):
            x.findings.append(finding)
            heard(finding)
        yield x
    finally:
        if x.studio is not None:
            x.studio.close()


def look_at(link: str, patient: Patient) -> Finding:
    """One link alone, whatever it hangs on."""
    return next(_look(each, Examination(patient)) for each in CHAIN if each.name == link)


def first_broken(findings: list[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.status is Status.FAIL), None)


def _walk(x: Examination, looking: Callable[[str], AbstractContextManager[object]]) -> Iterator[Finding]:
    broken: set[str] = set()
    for link in CHAIN:
        missing = [name for name in link.needs if name in broken]
        if missing:
            broken.add(link.name)
            yield Finding(link.name, Status.SKIPPED, f"not looked at: {', '.join(missing)} first")
            continue
        with looking(link.name):
            finding = _look(link, x)
        if finding.status is Status.FAIL:
            broken.add(link.name)
        yield finding


def _look(link: Link, x: Examination) -> Finding:
    secrets = x.patient.secrets
    try:
        return Finding(link.name, Status.OK, redact(link.check(x), secrets))
    except Skip as skip:
        return Finding(link.name, Status.SKIPPED, redact(str(skip), secrets))
    except Blame as blame:
        why, fix = blame.cause.told({**x.facts(), **{k: v for k, v in blame.facts.items() if v not in (None, "")}})
        told = (redact(text, secrets) for text in (blame.evidence, why, fix))
        evidence, why, fix = told
        return Finding(link.name, blame.status, evidence, blame.cause.id, why, fix)
    except SamstudioError as error:
        return Finding(
            link.name,
            Status.FAIL,
            redact(error.found or error.message, secrets),
            why=redact(error.message, secrets),
            fix=error.command,
        )
    except (httpx.HTTPError, OSError) as error:
        said = redact(f"{type(error).__name__}: {error}", secrets)
        return Finding(link.name, Status.FAIL, said, why="The check itself was cut off.", fix="samstudio doctor")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        said = redact(f"{type(error).__name__}: {error}", secrets)
        why = "The answer was nothing that this check understands; what answers there may be another program."
        return Finding(link.name, Status.FAIL, said, why=why, fix="see what listens there: ss -ltnp")
