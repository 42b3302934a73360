"""Label Studio's record of the backend and the webhook beside it: there, right, connected; and mended by `--fix`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from samstudio.addresses import normalise
from samstudio.causes import Cause, recognise
from samstudio.doctor.link import Known, Link, Result, broken, ok, warning
from samstudio.doctor.links.backend import BACKEND_AUTH_WRONG, BACKEND_LOADING, HEALTH_SLOW, NOT_A_BACKEND
from samstudio.doctor.links.label_studio import GUARD_BLOCKS
from samstudio.doctor.links.network import (
    BACKEND_REFUSED,
    DROPPED,
    HTTPS_TO_HTTP,
    LOCALHOST_ELSEWHERE,
    LOCALHOST_IN_CONTAINER,
    NAME_UNKNOWN,
    PROXY,
    URL_UNUSABLE,
    URL_WITHOUT_SCHEME,
)
from samstudio.doctor.pair import Pair
from samstudio.doctor.probes import swallowing_proxy, url_from_elsewhere
from samstudio.errors import SamstudioError
from samstudio.labelstudio import api_errors, ml_backends
from samstudio.registration import TITLE, at_address
from samstudio.tunnel.state import read_state

STATES = {"DI": "Disconnected", "ER": "Error", "TR": "Training", "PR": "Predicting"}

RECORD_MISSING = Cause("record-missing", (), "No ML backend is connected to project {project}.", "{register}")
RECORD_URL_WRONG = Cause(
    "record-url-wrong", (), "Label Studio is told to find the backend at {url}; it is at {backend_url}.", "{register}"
)
RECORD_TUNNEL_STALE = Cause(
    "record-tunnel-stale",
    ("ERR_NGROK_3200", "ERR_NGROK_3004"),
    "Label Studio uses a former address of the tunnel, {url}; now it is {backend_url}.",
    "{register}",
)
RECORD_DISCONNECTED = Cause(
    "record-disconnected",
    ("Disconnected",),
    "Label Studio says {state} of the backend at {url}: {said}.",
    "{register}",
)
WEBHOOK_STALE = Cause(
    "webhook-stale",
    (),
    "The webhook of project {project} is not the backend's ({found}): new images are not embedded ahead of the click.",
    "{register}",
)
INTERACTIVE_OFF = Cause(
    "interactive-off",
    ("Model is not set to be used for interactive preannotations",),
    "Interactive preannotations are off for the backend of project {project}, so clicks go nowhere.",
    "{register}",
)
#: What Label Studio's own attempt to reach the backend may say, most telling first.
SAID_BY_LABEL_STUDIO = (
    GUARD_BLOCKS,
    PROXY,
    HTTPS_TO_HTTP,
    NAME_UNKNOWN,
    DROPPED,
    HEALTH_SLOW,
    BACKEND_AUTH_WRONG,
    BACKEND_LOADING,
    NOT_A_BACKEND,
    BACKEND_REFUSED,
)
#: What writing the record anew mends, found by Label Studio's attempt to use it.
MENDED = (
    RECORD_MISSING,
    RECORD_URL_WRONG,
    RECORD_TUNNEL_STALE,
    URL_WITHOUT_SCHEME,
    LOCALHOST_IN_CONTAINER,
    HTTPS_TO_HTTP,
    BACKEND_AUTH_WRONG,
)


def check_ml_record(pair: Pair, known: Known) -> Result:
    """Label Studio has a record of the backend, and it works from Label Studio's side."""
    found = ml_backends.records(known.label_studio(), int(known.project.id))
    record = _candidate(found, pair)
    if record is None:
        return broken(RECORD_MISSING, "its ML backends: " + (", ".join(each.url for each in found) or "none"))
    if misspelt := _misspelt(record.url):
        return misspelt
    if record.state != ml_backends.CONNECTED:
        return _disconnected(pair, known, record)
    return ok(f"{record.url} connected", record=record)


def _candidate(found: list[Any], pair: Pair) -> Any:
    """Our record; else the one of our title, or the only one there is, which may be ours at another address."""
    for candidates in (
        ml_backends.ours(found, _wanted(pair), pair.own_records.ids(pair.label_studio)),
        [record for record in found if record.title == TITLE],
        found if len(found) == 1 else [],
    ):
        if candidates:
            return candidates[0]
    return None


def _wanted(pair: Pair) -> ml_backends.Wanted:
    return ml_backends.Wanted(pair.wanted, TITLE, pair.user, pair.password)


def _misspelt(url: str) -> Result | None:
    seen = f"ML backend record: {url}"
    try:
        address = normalise(url)
    except ValueError as error:
        return broken(URL_UNUSABLE, seen, url=url, reason=error)
    if any(change.startswith("http://") for change in address.changes):
        return broken(URL_WITHOUT_SCHEME, seen, url=url)
    return None


def _disconnected(pair: Pair, known: Known, record: Any) -> Result:
    """Why Label Studio does not reach it: what its own client said when it tried just now."""
    url, place = str(record.url), normalise(record.url)
    state = STATES.get(record.state, record.state)
    said = record.error_message or _last_words(known, record) or "it did not say why"
    evidence = f"{state}; Label Studio said: {said}"
    facts = {"url": url, "host": place.host, "port": place.port, "found": said, "address": place.host}
    if proxy := swallowing_proxy(pair.studio_environment(), url):
        return broken(PROXY, evidence, proxy=urlsplit(proxy).hostname or proxy, **facts)
    if pair.studio_container and place.is_loopback:
        return broken(LOCALHOST_IN_CONTAINER, evidence, container=pair.studio_container, **facts)
    cause = recognise(said, SAID_BY_LABEL_STUDIO) or RECORD_DISCONNECTED
    if cause is BACKEND_REFUSED and place.is_loopback and ml_backends.same_place(url, pair.backend):
        # it answered this machine a moment ago
        reachable = url_from_elsewhere(place.port, urlsplit(pair.label_studio).hostname or "")
        return broken(LOCALHOST_ELSEWHERE, evidence, reachable=reachable, **facts)
    if not ml_backends.same_place(url, pair.wanted) and cause is not HTTPS_TO_HTTP:
        stale = read_state(pair.tunnel_state) is not None or "ngrok" in place.host
        return broken(RECORD_TUNNEL_STALE if stale else RECORD_URL_WRONG, evidence, **facts)
    blocked = said.partition("(block: ")[2].partition(")")[0]
    return broken(cause, evidence, blocked_by=blocked, said=said, state=state, milliseconds="more than 1000", **facts)


def _last_words(known: Known, record: Any) -> str:
    """Label Studio forgets why a health check failed, but passes on the error of asking for versions."""
    with api_errors("ask Label Studio for the backend's versions"):
        answer = known.label_studio().http.get(f"/api/ml/{record.id}/versions")
    if answer.status_code == httpx.codes.OK:
        return ""
    try:
        return str(answer.json().get("error", ""))
    except (ValueError, AttributeError):
        return answer.text[:200]


def check_webhook(_: Pair, known: Known) -> Result:
    """Label Studio tells the backend of new images, at the address the record has."""
    url = f"{known.record.url.rstrip('/')}/webhook"
    with api_errors("list the webhooks"):
        hooks = known.label_studio().sdk.webhooks.list(project=int(known.project.id)) or []
    if not any(hook.url == url and hook.is_active for hook in hooks):
        found = ", ".join(str(hook.url) for hook in hooks) or "none"
        return warning(WEBHOOK_STALE, f"webhooks: {found}; expected {url}", found=found)
    return ok(url)


def check_interactive(_: Pair, known: Known) -> Result:
    """Label Studio hands clicks to the backend."""
    if not known.record.is_interactive:
        return broken(INTERACTIVE_OFF, f"is_interactive of ML backend {known.record.id} is false")
    return ok("on")


def mend(pair: Pair, known: Known) -> list[str]:
    """Make Label Studio's record and its webhook right; a record that is not ours gets one of ours beside it."""
    if known.connection is None or known.project is None:
        return ["nothing: Label Studio's record cannot be reached before the links above it hold"]
    if not pair.password:
        return [
            "nothing: Label Studio's record holds the backend's basic auth, and there is no password to write into it"
        ]
    try:
        return at_address(known.connection, _wanted(pair), [int(known.project.id)], pair.own_records)
    except SamstudioError as error:
        return [f"tried to mend the record of project {known.project.id}, but: {error.message} {error.found}"]


ML_RECORD = Link(
    "ml-record",
    check_ml_record,
    needs=("project", "backend-auth", "ssrf"),
    causes=(RECORD_MISSING, RECORD_URL_WRONG, RECORD_TUNNEL_STALE, RECORD_DISCONNECTED),
    mended=MENDED,
    mend=mend,
)
WEBHOOK = Link(
    "webhook", check_webhook, needs=("ml-record",), causes=(WEBHOOK_STALE,), mended=(WEBHOOK_STALE,), mend=mend
)
INTERACTIVE = Link(
    "interactive",
    check_interactive,
    needs=("ml-record",),
    causes=(INTERACTIVE_OFF,),
    mended=(INTERACTIVE_OFF,),
    mend=mend,
)
