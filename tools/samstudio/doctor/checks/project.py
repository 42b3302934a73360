"""The project: there, with a usable labeling config, and a backend record that works."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from samstudio.addresses import normalise
from samstudio.doctor.cause import Cause, recognise
from samstudio.doctor.causes.project import (
    CONFIG_LABELS,
    CONFIG_NO_IMAGE,
    CONFIG_NO_OUTPUT,
    CONFIG_NO_SMART,
    INTERACTIVE_OFF,
    NO_PROJECT,
    RECORD_DISCONNECTED,
    RECORD_MISSING,
    RECORD_TUNNEL_STALE,
    RECORD_URL_WRONG,
    WEBHOOK,
)
from samstudio.doctor.causes.table import SAID_BY_LABEL_STUDIO
from samstudio.doctor.causes.way import (
    BACKEND_REFUSED,
    HTTPS_TO_HTTP,
    LOCALHOST_ELSEWHERE,
    LOCALHOST_IN_CONTAINER,
    PROXY,
    URL_UNUSABLE,
    URL_WITHOUT_SCHEME,
)
from samstudio.doctor.finding import Blame, Status
from samstudio.doctor.patient import Examination
from samstudio.doctor.processes import swallowing_proxy
from samstudio.doctor.sides import url_from_elsewhere
from samstudio.labelstudio import LabelStudioError, api_errors, label_config, ml_backends, projects
from samstudio.tunnel.state import read_state

CONNECTED = ml_backends.CONNECTED
STATES = {"DI": "Disconnected", "ER": "Error", "TR": "Training", "PR": "Predicting"}


def project(x: Examination) -> str:
    x.project = _choose(x)
    return f"{x.project.id}, {x.project.title!r}"


def _choose(x: Examination) -> Any:
    """The project asked for; else the deployment's, by title; else the oldest with a backend; else the oldest."""
    studio, patient = x.label_studio(), x.patient
    if patient.project is not None:
        try:
            return projects.by_id(studio, patient.project)
        except LabelStudioError as error:
            raise Blame(NO_PROJECT, error.found, project=patient.project) from error
    named = projects.by_title(studio, patient.title) if patient.title else None
    if named is not None:
        return named
    found = sorted(projects.all_projects(studio), key=lambda each: each.id or 0)
    if not found:
        raise Blame(NO_PROJECT, "Label Studio has none", project=patient.title or "at all")
    return next((each for each in found if ml_backends.records(studio, int(each.id or 0))), found[0])


def labeling_config(x: Examination) -> str:
    """Smart controls to click with, a control that can hold a mask, and the same labels in both."""
    xml = x.project.label_config or "<View/>"
    problems = label_config.missing(xml)
    if problems:
        problem, _, addition = problems[0].partition("; ")
        raise Blame(_config_cause(problem), "; ".join(problems), problem=problem, addition=addition)
    x.config = label_config.parse(xml)
    controls = sorted({control.tag for control in x.config.controls})
    return ", ".join(controls)


def _config_cause(problem: str) -> Cause:
    return recognise(problem, (CONFIG_NO_SMART, CONFIG_NO_OUTPUT, CONFIG_LABELS)) or CONFIG_NO_IMAGE


def ml_record(x: Examination) -> str:
    """Label Studio has one record of the backend, and it works from Label Studio's side."""
    found = ml_backends.records(x.label_studio(), int(x.project.id))
    x.record = _ours(found, x.patient.wanted)
    if x.record is None:
        raise Blame(RECORD_MISSING, "its ML backends: " + (", ".join(record.url for record in found) or "none"))
    url = x.record.url
    _check_spelling(url)
    if x.record.state != CONNECTED:
        raise _disconnected(x, url)
    return f"{url} connected"


def _ours(found: list[Any], wanted: str) -> Any:
    """The record with our address; else the one of our title, or the only one there is (its address is wrong)."""
    for mine in (
        [record for record in found if ml_backends.same_place(record.url, wanted)],
        [record for record in found if record.title == "SAM2"],
        found if len(found) == 1 else [],
    ):
        if mine:
            return mine[0]
    return None


def _check_spelling(url: str) -> None:
    try:
        address = normalise(url)
    except ValueError as error:
        raise Blame(URL_UNUSABLE, f"ML backend record: {url}", url=url, reason=error) from error
    if any(change.startswith("http://") for change in address.changes):
        raise Blame(URL_WITHOUT_SCHEME, f"ML backend record: {url}", url=url)


def _disconnected(x: Examination, url: str) -> Blame:
    """Why Label Studio does not reach it: what its own client said when it tried just now."""
    patient, place = x.patient, normalise(url)
    said = x.record.error_message or _last_words(x) or "it did not say why"
    evidence = f"{STATES.get(x.record.state, x.record.state)}; Label Studio said: {said}"
    facts: dict[str, Any] = {
        "url": url,
        "host": place.host,
        "port": place.port,
        "found": said,
        "address": place.host,
    }
    if proxy := swallowing_proxy(x.studio_environment(), url):
        return Blame(PROXY, evidence, proxy=urlsplit(proxy).hostname or proxy, **facts)
    if patient.studio_container and place.is_loopback:
        return Blame(LOCALHOST_IN_CONTAINER, evidence, container=patient.studio_container, **facts)
    cause = recognise(said, SAID_BY_LABEL_STUDIO) or RECORD_DISCONNECTED
    if cause is BACKEND_REFUSED and place.is_loopback and ml_backends.same_place(url, patient.backend):
        # it answered this machine a moment ago
        reachable = url_from_elsewhere(place.port, urlsplit(patient.label_studio).hostname or "")
        return Blame(LOCALHOST_ELSEWHERE, evidence, reachable=reachable, **facts)
    if not ml_backends.same_place(url, patient.wanted) and cause is not HTTPS_TO_HTTP:
        stale = read_state(patient.tunnel_state) is not None or "ngrok" in place.host
        return Blame(RECORD_TUNNEL_STALE if stale else RECORD_URL_WRONG, evidence, **facts)
    blocked = said.partition("(block: ")[2].partition(")")[0]
    return Blame(
        cause,
        evidence,
        blocked_by=blocked,
        said=said,
        state=STATES.get(x.record.state, x.record.state),
        milliseconds="more than 1000",
        **facts,
    )


def _last_words(x: Examination) -> str:
    """Label Studio forgets why a health check failed, but passes on the error of asking for versions."""
    with api_errors("ask Label Studio for the backend's versions"):
        answer = x.label_studio().http.get(f"/api/ml/{x.record.id}/versions")
    if answer.status_code == httpx.codes.OK:
        return ""
    try:
        return str(answer.json().get("error", ""))
    except (ValueError, AttributeError):
        return answer.text[:200]


def webhook(x: Examination) -> str:
    """Label Studio tells the backend of new images, at the address the record has."""
    url = f"{x.record.url.rstrip('/')}/webhook"
    with api_errors("list the webhooks"):
        found = x.label_studio().sdk.webhooks.list(project=int(x.project.id)) or []
    if not any(hook.url == url and hook.is_active for hook in found):
        told = ", ".join(str(hook.url) for hook in found) or "none"
        raise Blame(WEBHOOK, f"webhooks: {told}; expected {url}", status=Status.WARN, found=told)
    return url


def interactive(x: Examination) -> str:
    if not x.record.is_interactive:
        raise Blame(INTERACTIVE_OFF, f"is_interactive of ML backend {x.record.id} is false")
    return "on"
