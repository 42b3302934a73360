"""The ML backend record of a project and the webhook beside it: one of each, right, and mended rather than doubled."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from samstudio.labelstudio.client import LabelStudio, LabelStudioError, api_errors

if TYPE_CHECKING:
    from label_studio_sdk.types.ml_backend import MlBackend
else:
    MlBackend = Any

CONNECTED = "CO"
#: Seconds that Label Studio waits for an answer; its own default.
TIMEOUT = 100.0


@dataclass(frozen=True)
class Wanted:
    """How the record should be."""

    url: str
    title: str
    user: str
    password: str

    def fields(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "title": self.title,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": self.user,
            "basic_auth_pass": self.password,
            "timeout": TIMEOUT,
        }

    def differs(self, record: MlBackend) -> list[str]:
        """What is wrong with a record.

        Label Studio never tells a password, but its state does: `/setup` is behind basic auth, and listing the records
        just called it.
        """
        names = ("url", "title", "is_interactive", "auth_method", "basic_auth_user")
        wrong = [name for name in names if getattr(record, name) != self.fields()[name]]
        if not record.basic_auth_pass_is_set:
            wrong.append("basic_auth_pass")
        if record.state != CONNECTED:
            wrong.append(f"state {record.state}" + (f" ({record.error_message})" if record.error_message else ""))
        return wrong

    def webhook_headers(self) -> dict[str, str]:
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}


def give_password(studio: LabelStudio, project: int, wanted: Wanted, *, own: Collection[int] = ()) -> list[str]:
    """Write the password into the records of this backend and into its webhooks; what was done, in words.

    Label Studio asks the backend with it first, and changes nothing where that is refused.

    Raises:
        LabelStudioError: the backend refuses the password, or does not answer.
    """
    did = []
    for record in ours(records(studio, project), wanted, own):
        here = replace(wanted, url=record.url, title=record.title or wanted.title)
        _update(studio, record, here)
        _ensure_webhook(studio, project, here, [], check=False)
        did.append(f"project {project}: gave ML backend record {record.id} the new password")
    return did


def records(studio: LabelStudio, project: int) -> list[MlBackend]:
    """A project's records; Label Studio calls `/health` and `/setup` of each to answer."""
    with api_errors(f"list the ML backends of project {project}"):
        return sorted(studio.sdk.ml.list(project=project) or [], key=lambda record: record.id or 0)


def same_place(one: str, other: str) -> bool:
    try:
        return urlsplit(one.rstrip("/"))[:3] == urlsplit(other.rstrip("/"))[:3]
    except ValueError:  # Label Studio takes what was typed, http://[::1 too
        return False


def ours(found: list[MlBackend], wanted: Wanted, own: Collection[int] = ()) -> list[MlBackend]:
    """The records that are this backend's: our address, then those whose id we wrote down (the address changed)."""
    mine = [record for record in found if same_place(record.url, wanted.url)]
    return mine + [record for record in found if record.id in own and record not in mine]


def ensure(
    studio: LabelStudio, project: int, wanted: Wanted, *, own: Collection[int] = (), check: bool = False
) -> dict[str, Any]:
    """Make a project have exactly one record of this backend, connected; records of others stay as they are.

    Args:
        own: ids of records that are ours, whatever address they have.

    Returns:
        `changed`, `id` (None in check mode before the record exists), `state`, `did` (what was done, in words).

    Raises:
        LabelStudioError: Label Studio cannot reach the backend, or refuses its address. A record that was only half
            made is removed before.
    """
    found = ours(records(studio, project), wanted, own)
    did: list[str] = []
    if not found:
        did.append("connected the backend")
        record = None if check else _create(studio, project, wanted)
    else:
        record, *extra = found
        wrong = wanted.differs(record)
        if wrong:
            did.append("mended the ML backend record: " + ", ".join(wrong))
            if not check:
                record = _update(studio, record, wanted)
        for surplus in extra:
            did.append(f"removed ML backend record {surplus.id}, a second one")
            if not check:
                _delete(studio, surplus)
    old = [other.url for other in found if not same_place(other.url, wanted.url)]
    did += _ensure_webhook(studio, project, wanted, old, check=check)
    return {
        "changed": bool(did),
        "id": record.id if record else None,
        "state": str(record.state) if record else None,
        "did": did,
    }


def _create(studio: LabelStudio, project: int, wanted: Wanted) -> MlBackend:
    try:
        with api_errors("connect the SAM2 backend"):
            created: MlBackend = studio.sdk.ml.create(project=project, **wanted.fields())
            return created
    except LabelStudioError as error:
        # The record is saved before its webhook is refused, and would stay behind.
        for half in ours(records(studio, project), wanted):
            _delete(studio, half)
        raise _explained(error, wanted) from error


def _update(studio: LabelStudio, record: MlBackend, wanted: Wanted) -> MlBackend:
    """Every field goes along: Label Studio checks the address with what the request holds, not with what it has."""
    try:
        with api_errors("update the ML backend record"):
            number, project = int(record.id or 0), record.project
            updated: MlBackend = studio.sdk.ml.update(number, project=project, **wanted.fields())
            return updated
    except LabelStudioError as error:
        raise _explained(error, wanted) from error


def _delete(studio: LabelStudio, record: MlBackend) -> None:
    with api_errors(f"remove ML backend record {record.id}"):
        studio.sdk.ml.delete(int(record.id or 0))


def _explained(error: LabelStudioError, wanted: Wanted) -> LabelStudioError:
    error.link = "ml-backend"
    if "reserved network" in error.found:
        error.expected = f"Label Studio's banned list to leave out the address of {urlsplit(wanted.url).hostname}"
        error.command = "samstudio ssrf show   # then ./samstudio deploy --tags label_studio"
    elif "authentication" in error.found:
        error.expected = f"the backend to accept basic auth as {wanted.user}"
        error.command = "./samstudio deploy --tags sam2_backend"
    else:
        error.expected = f"a backend that answers Label Studio at {wanted.url}"
        error.command = "samstudio doctor"
    return error


def _ensure_webhook(studio: LabelStudio, project: int, wanted: Wanted, old: list[str], *, check: bool) -> list[str]:
    """One webhook, so that imported images are embedded before the first click.

    Label Studio makes it together with a new record only, without basic auth, and never follows a changed URL.
    """
    url = wanted.url.rstrip("/") + "/webhook"
    stale = {place.rstrip("/") + "/webhook" for place in old}
    with api_errors(f"look after the webhooks of project {project}"):
        hooks = sorted(studio.sdk.webhooks.list(project=str(project)) or [], key=lambda hook: hook.id or 0)
        mine = [hook for hook in hooks if hook.url == url]
        did = []
        for surplus in [*mine[1:], *(hook for hook in hooks if hook.url in stale)]:
            did.append(f"removed webhook {surplus.url}, stale or doubled")
            if not check:
                studio.sdk.webhooks.delete(int(surplus.id or 0))
        if not mine:
            did.append("made the webhook")
            if not check:
                studio.sdk.webhooks.create(
                    url=url,
                    project=project,
                    send_payload=True,
                    send_for_all_actions=True,
                    headers=wanted.webhook_headers(),
                    is_active=True,
                )
        elif mine[0].headers != wanted.webhook_headers() or not mine[0].is_active:
            did.append("gave the webhook its basic auth")
            if not check:
                studio.sdk.webhooks.update(
                    int(mine[0].id or 0),
                    url=url,
                    headers=wanted.webhook_headers(),
                    is_active=True,
                    send_payload=True,
                    send_for_all_actions=True,
                )
    return did
