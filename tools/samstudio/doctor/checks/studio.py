"""Label Studio: up, of a known version, aware of its address, letting us in, allowed to reach the backend."""

from __future__ import annotations

import re
from typing import Any

import httpx

from samstudio.addresses import normalise
from samstudio.doctor.causes.studio import (
    GUARD_BLOCKS,
    GUARD_BLOCKS_WEBHOOK,
    GUARD_OFF,
    HOST_WITHOUT_SCHEME,
    HOST_WRONG,
    LABEL_STUDIO_DOWN,
    NOT_LABEL_STUDIO,
    TOKEN_INVALID,
    TOKEN_IS_ACCESS,
    TOKEN_LEGACY_OFF,
    TOKEN_MISSING,
    TUNNEL_AUTH,
    VERSION_UNKNOWN,
)
from samstudio.doctor.causes.way import DROPPED, HTTPS_TO_HTTP
from samstudio.doctor.finding import Blame, Skip, Status
from samstudio.doctor.patient import Examination
from samstudio.labelstudio import LabelStudioError, connect, deployed_guard, http_client
from samstudio.labelstudio.client import token_kind
from samstudio.labelstudio.tokens import verify
from samstudio.ssrf import DeployedGuard, blocking, resolved

TIMEOUT = httpx.Timeout(15.0, connect=3.0)
OLDEST, NEWEST = (1, 20), (1, 23)
#: Before 1.23.1 the guards were off unless asked for.
GUARDED_SINCE = (1, 23, 1)


def label_studio(x: Examination) -> str:
    """Label Studio answers, is Label Studio, and is of a version this was tested with."""
    x.version = _version(x.patient.label_studio)
    if not OLDEST <= _numbers(x.version)[:2] <= NEWEST:
        raise Blame(VERSION_UNKNOWN, x.version, status=Status.WARN, version=x.version)
    return f"version {x.version}"


def _version(url: str) -> str:
    place = normalise(url, keep_path=True)
    try:
        with http_client(place.url, timeout=TIMEOUT) as client:
            answer = client.get("/api/version/")
    except httpx.TransportError as error:
        said = str(error) or type(error).__name__
        if HTTPS_TO_HTTP.recognises(said):
            raise Blame(HTTPS_TO_HTTP, said, url=url) from error
        cause = DROPPED if isinstance(error, httpx.ConnectTimeout) else LABEL_STUDIO_DOWN
        raise Blame(cause, said, url=url, reason=said, who="this machine", host=place.host, port=place.port) from error
    if answer.headers.get("www-authenticate", "").startswith("Basic"):
        raise Blame(
            TUNNEL_AUTH, f"{answer.status_code}, WWW-Authenticate: {answer.headers['www-authenticate']}", url=url
        )
    body = _json(answer)
    if answer.status_code != httpx.codes.OK or "release" not in body:
        found = f"HTTP {answer.status_code} from /api/version/, {' '.join(answer.text.split())[:100]}"
        raise Blame(NOT_LABEL_STUDIO, found, url=url, found=found, port=place.port)
    return str(body["release"])


def label_studio_host(x: Examination) -> str:
    """LABEL_STUDIO_HOST, which images and links get as their address, leads to this Label Studio."""
    environment = x.studio_environment()
    if environment is None:
        raise Skip("Label Studio's environment cannot be seen from here")
    host = environment.get("LABEL_STUDIO_HOST") or environment.get("HEARTEX_HOST") or environment.get("HOST") or ""
    if not host:
        return "not set; Label Studio takes the address that a browser uses"
    if not host.startswith(("http://", "https://")):
        raise Blame(HOST_WITHOUT_SCHEME, f"LABEL_STUDIO_HOST={host}", status=Status.WARN, host=host, **_right(x))
    if host.rstrip("/") in (x.patient.studio_internal, x.patient.label_studio):
        return host
    reason = _astray(host.rstrip("/"))
    if reason:
        raise Blame(
            HOST_WRONG, f"LABEL_STUDIO_HOST={host}: {reason}", status=Status.WARN, host=host, reason=reason, **_right(x)
        )
    return host


def _right(x: Examination) -> dict[str, Any]:
    return {"label_studio_url": x.patient.label_studio}


def _astray(host: str) -> str:
    """Why an address does not lead to Label Studio's pages; "" when it does."""
    try:
        _version(host)
    except Blame as blame:
        return blame.evidence
    # /api/version/ answers below any path; the sign-in page only where Label Studio is really served
    with http_client(host, timeout=TIMEOUT) as client:
        status = client.get("/user/login/").status_code
    return "" if status == httpx.codes.OK else f"HTTP {status} from {host}/user/login/"


def token(x: Examination) -> str:
    """There is a token, of a kind that works, and Label Studio accepts it."""
    patient = x.patient
    if not patient.token:
        raise Blame(TOKEN_MISSING, "none given and none stored")
    kind = token_kind(patient.token)
    if kind == "access":
        raise Blame(TOKEN_IS_ACCESS, "the token's own token_type is access")
    try:
        verified = verify(patient.label_studio, patient.token)
    except LabelStudioError as error:
        if error.status not in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise
        raise Blame(_refusal(kind, error.found), error.found, kind=kind) from error
    x.studio = connect(patient.label_studio, patient.token)
    return f"{verified.kind} token of {verified.email}"


def _refusal(kind: str, said: str) -> Any:
    # Label Studio says "Invalid token" only of a token that nobody has
    if kind == "legacy" and not TOKEN_INVALID.recognises(said):
        return TOKEN_LEGACY_OFF
    return TOKEN_INVALID


def ssrf(x: Examination) -> str:
    """The guard lets Label Studio reach the backend's address: as an ML backend and as a webhook."""
    deployed = _deployed_guard(x)
    addresses = [x.patient.address] if x.patient.address else _addresses(x)
    blocked = [network for address in addresses for network in blocking(deployed.effective, address)]
    facts: dict[str, Any] = {"address": " --address ".join(addresses), "blocked_by": ", ".join(blocked)}
    evidence = (
        ", ".join(f"{name}={value}" for name, value in deployed.environment.items()) or "all settings at their default"
    )
    if not deployed.guards_ml and not deployed.guards_webhooks:
        raise Blame(GUARD_OFF, evidence, status=Status.WARN, **facts)
    if blocked and deployed.guards_ml:
        raise Blame(GUARD_BLOCKS, evidence, **facts)
    if blocked:
        raise Blame(GUARD_BLOCKS_WEBHOOK, evidence, **facts)
    return f"admits {', '.join(addresses)}"


def _addresses(x: Examination) -> list[str]:
    """The addresses of the backend's name; Label Studio takes the first, which may be any of them."""
    host = normalise(x.patient.wanted).host
    try:
        return resolved(host)
    except OSError as error:
        raise Skip(
            f"{host} has no address here ({error}); the ml-record link shows what Label Studio makes of it"
        ) from error


def _deployed_guard(x: Examination) -> DeployedGuard:
    if x.patient.studio_container:
        return deployed_guard.read(container=x.patient.studio_container)
    environment = x.studio_environment()
    if environment is None:
        raise Skip("Label Studio's settings cannot be seen from here; the ml-record link shows their effect")
    names = (
        "ML_BLOCK_LOCAL_IP",
        "SSRF_PROTECTION_ENABLED",
        "USE_DEFAULT_BANNED_SUBNETS",
        "USER_ADDITIONAL_BANNED_SUBNETS",
    )
    told = {name: value for name in names if (value := _setting(environment, name)) is not None}
    if _numbers(x.version) < GUARDED_SINCE and not told:
        raise Skip(f"Label Studio {x.version} guards nothing unless told to")
    return DeployedGuard(x.version, None, told)


def _setting(environment: dict[str, str], name: str) -> str | None:
    """Label Studio reads each setting with two prefixes before its bare name."""
    return next(
        (environment[key] for key in (f"LABEL_STUDIO_{name}", f"HEARTEX_{name}", name) if key in environment), None
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
