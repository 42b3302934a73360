"""The backend: reachable from both sides, ready, itself, and guarded."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from samstudio.addresses import normalise
from samstudio.doctor.cause import recognise
from samstudio.doctor.causes.backend import (
    BACKEND_AUTH_MISSING,
    BACKEND_AUTH_WRONG,
    BACKEND_FAILED,
    BACKEND_LOADING,
    BACKEND_OPEN,
    HEALTH_SLOW,
    NOT_A_BACKEND,
)
from samstudio.doctor.causes.studio import LABEL_STUDIO_DOWN
from samstudio.doctor.causes.table import SAID_BY_FAILED_BACKEND
from samstudio.doctor.causes.way import BACKEND_REFUSED, DROPPED, HTTPS_TO_HTTP
from samstudio.doctor.finding import Blame, Status
from samstudio.doctor.patient import Examination
from samstudio.doctor.sides import reach
from samstudio.labelstudio import http_client
from samstudio.tunnel.failures import NGROK

#: Label Studio's own: a browser would be shown ngrok's warning page
AGENT = {"User-Agent": "heartex/doctor"}
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
#: What Label Studio gives /health (ML_TIMEOUT_HEALTH), ms.
HEALTH_MILLISECONDS = 1000


def network(x: Examination) -> str:
    """TCP to the backend from here and, with containers, from each side to the other."""
    patient = x.patient
    ways = [("this machine", "", patient.backend)]
    if not patient.by_hand:
        ways.append(("Label Studio", patient.studio_container, patient.wanted))
    if patient.backend_container:
        ways.append(("the backend", patient.backend_container, patient.studio_internal))
    return "; ".join(_connect(*way) for way in ways)


def _connect(who: str, container: str, url: str) -> str:
    place = normalise(url, keep_path=True)
    way = reach(place.host, place.port, container=container)
    if way.cause is not None:
        cause = LABEL_STUDIO_DOWN if (who, way.cause) == ("the backend", BACKEND_REFUSED) else way.cause
        evidence = f"from {who}: {place.host}:{place.port}: {way.said}"
        raise Blame(cause, evidence, who=who, host=place.host, port=place.port, url=url, reason=way.said)
    reached = f"{who} reaches {place.host}:{place.port}"
    return reached if way.tried else f"whether {reached} could not be tried ({way.said})"


def backend(x: Examination) -> str:
    """GET /health says that a model can predict, soon enough for Label Studio, and in an ML backend's words."""
    answer, milliseconds = _fastest_health(x)
    if answer.status_code == httpx.codes.UNAUTHORIZED:  # label-studio-ml guards /health too
        answer = _get(x, "/health", known=True)
    x.health = _json(answer)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and x.health.get("status") in ("LOADING", "FAILED"):
        raise _not_ready(x)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Blame(
            BACKEND_AUTH_WRONG if x.patient.password else BACKEND_AUTH_MISSING, "401 from /health", who="this machine"
        )
    if x.health.get("status") != "UP" or not {"model", "model_class"} & set(x.health):
        raise _somebody_else(x, answer)
    if milliseconds > HEALTH_MILLISECONDS:
        raise Blame(HEALTH_SLOW, f"{milliseconds:.0f} ms", milliseconds=f"{milliseconds:.0f}")
    model = x.health.get("model") or x.health.get("model_class")
    return f"ready, {model}, /health in {milliseconds:.0f} ms"


def _fastest_health(x: Examination) -> tuple[httpx.Response, float]:
    """GET /health, again when it was slow: Label Studio asks three times before it gives up."""
    for attempt in range(3):
        started = time.perf_counter()
        answer = _get(x, "/health")
        milliseconds = (time.perf_counter() - started) * 1000
        if milliseconds < HEALTH_MILLISECONDS or attempt == 2:
            break
    return answer, milliseconds


def backend_auth(x: Examination) -> str:
    """Everything but /health wants basic auth, and takes ours."""
    anonymous = _get(x, "/status")
    if anonymous.status_code != httpx.codes.UNAUTHORIZED:
        x.status = _json(anonymous)
        if normalise(x.patient.backend).is_loopback:
            return "no basic auth; only this machine reaches it"
        raise Blame(BACKEND_OPEN, f"GET /status without credentials: {anonymous.status_code}", status=Status.WARN)
    if not x.patient.password:
        raise Blame(BACKEND_AUTH_MISSING, "401 from /status")
    known = _get(x, "/status", known=True)
    if known.status_code == httpx.codes.UNAUTHORIZED:
        raise Blame(BACKEND_AUTH_WRONG, f"401 from /status for user {x.patient.user}", who="this machine")
    x.status = _json(known)
    return f"takes basic auth of {x.patient.user}"


def _get(x: Examination, path: str, *, known: bool = False) -> httpx.Response:
    auth = httpx.BasicAuth(x.patient.user, x.patient.password) if known else None
    try:
        with http_client(x.patient.backend, auth=auth, timeout=TIMEOUT) as client:
            return client.get(path, headers=AGENT)
    except httpx.TimeoutException as error:
        cause = DROPPED if isinstance(error, httpx.ConnectTimeout) else HEALTH_SLOW
        raise Blame(
            cause, f"{path}: {type(error).__name__}", who="this machine", milliseconds="more than 10000"
        ) from error
    except httpx.TransportError as error:
        if HTTPS_TO_HTTP.recognises(str(error)):
            raise Blame(HTTPS_TO_HTTP, error) from error
        raise Blame(NOT_A_BACKEND, f"{path}: {error or type(error).__name__}", found="no HTTP") from error


def _not_ready(x: Examination) -> Blame:
    reason = str(x.health.get("reason") or "no reason given")
    if x.health["status"] == "LOADING":
        return Blame(BACKEND_LOADING, f"503 from /health: {reason}")
    cause = recognise(reason, SAID_BY_FAILED_BACKEND) or BACKEND_FAILED
    return Blame(cause, f"503 from /health: {reason}", reason=reason, **_torch(x))


def _torch(x: Examination) -> dict[str, Any]:
    from samstudio.doctor.checks.host import nvidia_smi

    versions = _json(_get(x, "/status", known=True)).get("versions", {})
    return {"torch": versions.get("torch", "unknown"), "driver": nvidia_smi().driver or "none"}


def _somebody_else(x: Examination, answer: httpx.Response) -> Blame:
    said = " ".join(answer.text.split())[:200]
    page = recognise(answer.text, (cause for cause in NGROK if cause.id in ("tunnel-6024", "tunnel-3200")))
    if page is not None:
        return Blame(page, f"{answer.status_code} from /health: {said}")
    server = answer.headers.get("server", "")
    found = f"HTTP {answer.status_code} from /health" + (f" by {server}" if server else "")
    place = urlsplit(x.patient.backend)
    return Blame(NOT_A_BACKEND, f"{found}: {said}", found=found, host=place.hostname, port=place.port)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
