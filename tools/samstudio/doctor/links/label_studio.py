"""Label Studio: up, of a known version, aware of its address, letting us in, allowed to reach the backend."""

from __future__ import annotations

import re
from typing import Any

import httpx

from samstudio.addresses import normalise
from samstudio.causes import Cause
from samstudio.doctor.link import Known, Link, Result, broken, ok, skipped, warning
from samstudio.doctor.links.backend import as_object
from samstudio.doctor.links.network import DROPPED, HTTPS_TO_HTTP, LABEL_STUDIO_DOWN
from samstudio.doctor.pair import Pair
from samstudio.labelstudio import LabelStudioError, connect, deployed_guard, http_client
from samstudio.labelstudio.client import token_kind
from samstudio.labelstudio.tokens import verify
from samstudio.ssrf import DeployedGuard, blocking, resolved

TIMEOUT = httpx.Timeout(15.0, connect=3.0)
OLDEST, NEWEST = (1, 20), (1, 23)
#: Before 1.23.1 the guards were off unless asked for.
GUARDED_SINCE = (1, 23, 1)
GUARD_SETTINGS = (
    "ML_BLOCK_LOCAL_IP",
    "SSRF_PROTECTION_ENABLED",
    "USE_DEFAULT_BANNED_SUBNETS",
    "USER_ADDITIONAL_BANNED_SUBNETS",
)

NOT_LABEL_STUDIO = Cause(
    "not-label-studio",
    (),
    "Something answers at {url}, but it is not Label Studio: {found}.",
    "see what listens: ss -ltnp 'sport = :{port}'; then free the port or name Label Studio's own",
)
BASIC_AUTH_COLLIDES = Cause(
    "basic-auth-collides",
    ('WWW-Authenticate: Basic realm="ngrok"',),
    "{url} asks for HTTP basic auth before Label Studio is reached (on the tunnel, or a reverse proxy); API tokens "
    "travel in the same header, so no program can send both.",
    "take the basic-auth action off Label Studio's tunnel; its own sign-in guards it, or restrict the tunnel by IP",
)
VERSION_UNKNOWN = Cause(
    "label-studio-version",
    (),
    "Label Studio {version} is outside of what this was tested with (1.20 to 1.23).",
    "samstudio ssrf show, and compare; report what breaks",
)
HOST_WITHOUT_SCHEME = Cause(
    "host-without-scheme",
    ("LABEL_STUDIO_HOST variable found in environment, but it must start with http:// or https://",),
    "LABEL_STUDIO_HOST={host} has no scheme, so Label Studio ignores it and tells backends http://localhost.",
    "set LABEL_STUDIO_HOST={label_studio_url} and restart Label Studio",
)
HOST_WRONG = Cause(
    "host-wrong",
    (),
    "LABEL_STUDIO_HOST={host} does not lead to this Label Studio ({reason}); images and links get that address.",
    "make that name lead here (name service or /etc/hosts), or set LABEL_STUDIO_HOST={label_studio_url} and restart "
    "Label Studio",
)
TOKEN_MISSING = Cause(
    "token-missing",
    ("Secret label_studio_api_token is missing",),
    "There is no API token to ask Label Studio with.",
    "samstudio token ensure; by hand: samstudio doctor --token-file FILE",
)
TOKEN_LEGACY_OFF = Cause(
    "token-legacy-off",
    ("legacy token authentication has been disabled for this organization", "401 Unauthorized"),
    "The token is a legacy token, and Label Studio's organisation does not allow those.",
    "use a personal access token (Account & Settings, Personal Access Token), or: samstudio token ensure",
)
TOKEN_IS_ACCESS = Cause(
    "token-is-access",
    ("Token has wrong type", "token_not_valid"),
    "The token is a short-lived access token; what is wanted is the personal access token it was made from.",
    "copy it from Account & Settings, Personal Access Token; or: samstudio token ensure",
)
TOKEN_INVALID = Cause(
    "token-invalid",
    ("Token is blacklisted", "Token is invalid or expired", "Invalid token"),
    "Label Studio does not accept the {kind} token: revoked, expired, or of another Label Studio.",
    "samstudio token ensure; by hand: make a new one in Account & Settings",
)
FIX_GUARD = (
    "restart Label Studio with the settings that this prints: samstudio ssrf settings --address {address} "
    "(deployed by this project: ./samstudio deploy)"
)
GUARD_BLOCKS = Cause(
    "guard-blocks-backend",
    ("URL resolves to a reserved network address (block:",),
    "Label Studio's SSRF guard refuses the backend's address {address} (banned: {blocked_by}).",
    FIX_GUARD,
)
GUARD_BLOCKS_WEBHOOK = Cause(
    "guard-blocks-webhook",
    ("URL resolves to a reserved network address (block:",),
    "ML_BLOCK_LOCAL_IP=false lifted one guard of two: saving an ML backend also saves a webhook, and "
    "SSRF_PROTECTION_ENABLED still refuses {address} (banned: {blocked_by}).",
    FIX_GUARD,
)
GUARD_OFF = Cause(
    "guard-off",
    (),
    "Label Studio's SSRF guard is off for ML backends and webhooks: whoever may add one can make it call your network.",
    FIX_GUARD,
)


def check_label_studio(pair: Pair, _: Known) -> Result:
    """Label Studio answers, is Label Studio, and is of a version this was tested with."""
    version = version_at(pair.label_studio)
    if isinstance(version, Result):
        return version
    if not OLDEST <= _numbers(version)[:2] <= NEWEST:
        return warning(VERSION_UNKNOWN, version, learned={"version": version}, version=version)
    return ok(f"version {version}", version=version)


def version_at(url: str) -> str | Result:
    """The version of the Label Studio at a URL, or why there is none."""
    place = normalise(url, keep_path=True)
    try:
        with http_client(place.url, timeout=TIMEOUT) as client:
            answer = client.get("/api/version/")
    except httpx.TransportError as error:
        said = str(error) or type(error).__name__
        if HTTPS_TO_HTTP.recognises(said):
            return broken(HTTPS_TO_HTTP, said, url=url)
        cause = DROPPED if isinstance(error, httpx.ConnectTimeout) else LABEL_STUDIO_DOWN
        return broken(cause, said, url=url, reason=said, who="this machine", host=place.host, port=place.port)
    challenge = answer.headers.get("www-authenticate", "")
    if challenge.startswith("Basic"):
        return broken(BASIC_AUTH_COLLIDES, f"{answer.status_code}, WWW-Authenticate: {challenge}", url=url)
    body = as_object(answer)
    if answer.status_code != httpx.codes.OK or "release" not in body:
        found = f"HTTP {answer.status_code} from /api/version/, {' '.join(answer.text.split())[:100]}"
        return broken(NOT_LABEL_STUDIO, found, url=url, found=found, port=place.port)
    return str(body["release"])


def check_host(pair: Pair, _: Known) -> Result:
    """LABEL_STUDIO_HOST, which images and links get as their address, leads to this Label Studio."""
    environment = pair.studio_environment()
    if environment is None:
        return skipped("Label Studio's environment cannot be seen from here")
    host = environment.get("LABEL_STUDIO_HOST") or environment.get("HEARTEX_HOST") or environment.get("HOST") or ""
    if not host:
        return ok("not set; Label Studio takes the address that a browser uses")
    seen, right = f"LABEL_STUDIO_HOST={host}", pair.label_studio
    if not host.startswith(("http://", "https://")):
        return warning(HOST_WITHOUT_SCHEME, seen, host=host, label_studio_url=right)
    if host.rstrip("/") in (pair.studio_internal, pair.label_studio):
        return ok(host)
    if reason := _astray(host.rstrip("/")):
        return warning(HOST_WRONG, f"{seen}: {reason}", host=host, reason=reason, label_studio_url=right)
    return ok(host)


def _astray(host: str) -> str:
    """Why an address does not lead to Label Studio's pages; "" when it does."""
    version = version_at(host)
    if isinstance(version, Result):
        return version.evidence
    # /api/version/ answers below any path; the sign-in page only where Label Studio is really served
    with http_client(host, timeout=TIMEOUT) as client:
        status = client.get("/user/login/").status_code
    return "" if status == httpx.codes.OK else f"HTTP {status} from {host}/user/login/"


def check_token(pair: Pair, _: Known) -> Result:
    """There is a token, of a kind that works, and Label Studio accepts it."""
    if not pair.token:
        return broken(TOKEN_MISSING, "none given and none stored")
    kind = token_kind(pair.token)
    if kind == "access":
        return broken(TOKEN_IS_ACCESS, "the token's own token_type is access")
    try:
        verified = verify(pair.label_studio, pair.token)
    except LabelStudioError as error:
        if error.status not in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise
        # Label Studio says "Invalid token" only of a token that nobody has
        legacy = kind == "legacy" and not TOKEN_INVALID.recognises(error.found)
        return broken(TOKEN_LEGACY_OFF if legacy else TOKEN_INVALID, error.found, kind=kind)
    connection = connect(pair.label_studio, pair.token)
    return ok(f"{verified.kind} token of {verified.email}", connection=connection)


def check_ssrf(pair: Pair, known: Known) -> Result:
    """The guard lets Label Studio reach the backend's address: as an ML backend and as a webhook."""
    deployed = guard_of(pair, known.version)
    if isinstance(deployed, Result):
        return deployed
    host = normalise(pair.wanted).host
    try:
        # of several, Label Studio takes the first, which may be any of them
        addresses = [pair.address] if pair.address else resolved(host)
    except OSError as error:
        return skipped(f"{host} has no address here ({error}); the ml-record link shows what Label Studio makes of it")
    blocked = [network for address in addresses for network in blocking(deployed.effective, address)]
    facts: dict[str, Any] = {"address": " --address ".join(addresses), "blocked_by": ", ".join(blocked)}
    settings = ", ".join(f"{name}={value}" for name, value in deployed.environment.items())
    evidence = settings or "all settings at their default"
    if not deployed.guards_ml and not deployed.guards_webhooks:
        return warning(GUARD_OFF, evidence, **facts)
    if blocked and deployed.guards_ml:
        return broken(GUARD_BLOCKS, evidence, **facts)
    if blocked:
        return broken(GUARD_BLOCKS_WEBHOOK, evidence, **facts)
    return ok(f"admits {', '.join(addresses)}")


def guard_of(pair: Pair, version: str) -> DeployedGuard | Result:
    """Label Studio's guard, or why it cannot be seen."""
    if pair.studio_container:
        return deployed_guard.read(container=pair.studio_container)
    environment = pair.studio_environment()
    if environment is None:
        return skipped("Label Studio's settings cannot be seen from here; the ml-record link shows their effect")
    given = {name: value for name in GUARD_SETTINGS if (value := _setting(environment, name)) is not None}
    if _numbers(version) < GUARDED_SINCE and not given:
        return skipped(f"Label Studio {version} guards nothing unless told to")
    return DeployedGuard(version, None, given)


def _setting(environment: dict[str, str], name: str) -> str | None:
    """Label Studio reads each setting with two prefixes before its bare name."""
    names = (f"LABEL_STUDIO_{name}", f"HEARTEX_{name}", name)
    return next((environment[key] for key in names if key in environment), None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


LABEL_STUDIO = Link(
    "label-studio",
    check_label_studio,
    needs=("settings", "containers"),
    causes=(LABEL_STUDIO_DOWN, NOT_LABEL_STUDIO, BASIC_AUTH_COLLIDES, VERSION_UNKNOWN),
)
HOST = Link("label-studio-host", check_host, needs=("label-studio",), causes=(HOST_WITHOUT_SCHEME, HOST_WRONG))
TOKEN = Link(
    "token",
    check_token,
    needs=("label-studio",),
    causes=(TOKEN_MISSING, TOKEN_LEGACY_OFF, TOKEN_IS_ACCESS, TOKEN_INVALID),
)
SSRF = Link("ssrf", check_ssrf, needs=("label-studio",), causes=(GUARD_BLOCKS, GUARD_BLOCKS_WEBHOOK, GUARD_OFF))
