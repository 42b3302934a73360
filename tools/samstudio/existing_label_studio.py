"""A Label Studio that this project did not deploy: connected, given something to click, and proven by clicks.

It shares no folder with the backend, so the samples are uploaded. What breaks is told in the doctor's words.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from samstudio import registration, samples, verification
from samstudio.addresses import normalise
from samstudio.causes import Cause, recognise
from samstudio.deployment import BackendSettings, Deployment
from samstudio.doctor.link import Status
from samstudio.doctor.links import link_of
from samstudio.doctor.links.backend import BACKEND_AUTH_MISSING, BACKEND_AUTH_WRONG
from samstudio.doctor.links.click import SAID_OF_A_CLICK, SAID_OF_AN_IMAGE
from samstudio.doctor.links.network import BACKEND_REFUSED, LOCALHOST_ELSEWHERE
from samstudio.doctor.links.record import SAID_BY_LABEL_STUDIO
from samstudio.doctor.pair import Pair
from samstudio.doctor.probes import reach, url_from_elsewhere
from samstudio.doctor.walk import Finding, examine, look_at
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudio, connect, label_config, projects

#: Whose words an error holds, by the link it names.
SPOKEN = {
    "ml-backend": SAID_BY_LABEL_STUDIO,
    "backend": SAID_OF_AN_IMAGE + SAID_OF_A_CLICK,
    "ssrf-guard": SAID_OF_A_CLICK,
}


def register(
    pair: Pair,
    deployment: Deployment,
    request: registration.Request,
    *,
    check: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Register, and, in a project of our own, upload the samples and click them.

    Returns:
        what `registration.register` does, and `verified`: what `verification.click_samples` does, None if nothing
            was clicked.

    Raises:
        SamstudioError: the true cause and what mends it.
    """
    _look_first(pair)
    try:
        with connect(pair.label_studio, pair.token) as studio:
            return _register(studio, pair, deployment, request, check=check, say=say)
    except SamstudioError as error:
        told = explained(error, pair)
        told.changed = error.changed
        raise told from error


def _register(
    studio: LabelStudio,
    pair: Pair,
    deployment: Deployment,
    request: registration.Request,
    *,
    check: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    request = replace(request, images=request.images or ())
    result = registration.register(
        studio,
        deployment,
        pair.password,
        request,
        check=check,
        say=say,
        explain=lambda error: explained(error, pair),
    )
    result["verified"] = None
    if request.project is None and not request.every and not check:
        with tempfile.TemporaryDirectory() as folder:
            _upload_samples(studio, result, Path(folder), say)
            result["verified"] = verification.click_samples(
                studio, project=result["project"]["id"], folder=Path(folder), backend_url=pair.wanted, say=say
            )
    return result


def _look_first(pair: Pair) -> None:
    """What Label Studio would not notice, or not before there is half a connection."""
    settings, password = look_at("settings", pair), look_at("backend-auth", pair)
    if settings.status is Status.FAIL:
        raise _as_error(settings)
    # Label Studio tries the password of the record, not ours; that this machine may not reach the backend is no matter
    if password.cause in (BACKEND_AUTH_WRONG.id, BACKEND_AUTH_MISSING.id):
        raise _as_error(password)


def command(deployment: Deployment, token_file: Path | None, password_file: Path | None) -> str:
    """What connects this very pair, to be typed again."""
    backend = deployment.backend
    options = {
        "--label-studio-url": deployment.label_studio.url,
        "--backend-url": backend.internal_url,
        "--backend-user": backend.basic_auth_user if backend.basic_auth_user != BackendSettings.basic_auth_user else "",
        "--token-file": token_file,
        "--password-file": password_file,
    }
    words = [word for name, value in options.items() if value for word in (name, str(value))]
    return shlex.join(["samstudio", "register", *words])


def explained(error: SamstudioError, pair: Pair) -> SamstudioError:
    """The cause behind an error: what Label Studio or the backend said, else the first broken link of the chain."""
    if cause := recognise(error.found, SPOKEN.get(error.link, ())):
        return _as_sentence(cause, error, pair)
    broken = next((finding for finding in examine(pair) if finding.status is Status.FAIL), None)
    if broken is None or not broken.cause or broken.cause == "record-missing":
        return error
    return _as_error(broken)


def _as_error(finding: Finding) -> SamstudioError:
    return SamstudioError(finding.why, found=finding.evidence, command=finding.fix, link=finding.link)


def _as_sentence(cause: Cause, error: SamstudioError, pair: Pair) -> SamstudioError:
    place, more = normalise(pair.wanted), {}
    if cause is BACKEND_REFUSED and place.is_loopback and not reach(place.host, place.port).failure:
        cause, more = LOCALHOST_ELSEWHERE, {"reachable": url_from_elsewhere(place.port, place.host)}
    blocked = error.found.partition("(block: ")[2].partition(")")[0]
    facts = {
        **pair.facts(),
        "url": pair.wanted,
        "address": place.host,
        "blocked_by": blocked,
        "milliseconds": "more than 1000",
        "found": error.found,
        **more,
    }
    why, fix = cause.explain(facts)
    return SamstudioError(why, found=error.found, command=fix, link=link_of(cause))


def _upload_samples(studio: LabelStudio, result: dict[str, Any], folder: Path, say: Callable[[str], None]) -> None:
    number = int(result["project"]["id"])
    config = label_config.parse(projects.by_id(studio, number).label_config or "<View/>")
    there = verification.sample_tasks(studio, number, config)
    samples.draw(folder)
    missing = [folder / scene.file for scene in samples.SCENES if scene.file not in there]
    if missing:
        say(f"project {number}: uploading {len(missing)} drawn images")
        projects.upload(studio, number, missing)
        result["did"].append(f"project {number}: uploaded {len(missing)} drawn images")
        result["project"]["tasks_created"] = len(missing)
        result["changed"] = True
