"""Personal access tokens: made once, verified by use, never shown."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from samstudio.errors import SamstudioError
from samstudio.labelstudio.client import LabelStudioError, TokenAuth, api_errors, label_studio_client, token_kind
from samstudio.labelstudio.session import sign_in
from samstudio.secret_store import ADMIN_PASSWORD, API_TOKEN, SecretStore


@dataclass(frozen=True)
class Verified:
    """A token that Label Studio accepted: its kind and whose it is."""

    kind: str
    email: str


def verify(url: str, token: str) -> Verified:
    """Ask Label Studio whose token this is.

    Raises:
        LabelStudioError: no answer, or the token is not accepted.
    """
    url = url.rstrip("/")
    with (
        label_studio_client(url, auth=TokenAuth(url, token), timeout=30.0) as client,
        api_errors("verify the API token"),
    ):
        answer = client.get("/api/current-user/whoami")
        answer.raise_for_status()
        return Verified(token_kind(token), str(answer.json()["email"]))


def is_valid(url: str, token: str) -> bool:
    """Whether Label Studio accepts a token; an unreachable Label Studio is an error, not a bad token."""
    try:
        verify(url, token)
    except LabelStudioError as error:
        if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return False
        raise
    return True


def obtain(session: httpx.Client) -> tuple[str, int]:
    """A new personal access token for the signed-in user.

    Label Studio keeps one valid token a user and never shows it again, so tokens whose value is lost are revoked first.

    Returns:
        the token, and how many lost ones were revoked.
    """
    with api_errors("obtain a personal access token"):
        answer = session.post("/api/token/")
        revoked = 0
        if answer.status_code == httpx.codes.CONFLICT:
            for lost in session.get("/api/token/").raise_for_status().json():
                session.post("/api/token/blacklist/", json={"refresh": lost["token"]}).raise_for_status()
                revoked += 1
            answer = session.post("/api/token/")
        if answer.status_code == httpx.codes.CONFLICT:
            raise LabelStudioError(
                "A personal access token whose value is lost cannot be revoked.",
                status=409,
                link="token",
                found=f"Label Studio lists {revoked} tokens and still says that there is one",
                expected="PyJWT 2.13 beside Label Studio: newer ones refuse its shortened tokens",
                command="revoke it by hand: Label Studio, Account & Settings, Personal Access Token",
            )
        answer.raise_for_status()
        return str(answer.json()["token"]), revoked


def ensure(url: str, email: str, store: SecretStore, *, renew: bool = False, check: bool = False) -> dict[str, object]:
    """Make the stored token one that Label Studio accepts.

    Args:
        renew: replace a valid token as well.

    Returns:
        `changed`, `revoked` (tokens whose value was lost), `reason`.
    """
    reason = _reason(url, store, renew=renew)
    if not reason:
        return {"changed": False, "revoked": 0, "reason": "the stored token is valid"}
    if check:
        return {"changed": True, "revoked": 0, "reason": reason}
    with sign_in(url, email, store.read(ADMIN_PASSWORD)) as session:
        token, revoked = obtain(session)
    store.write(API_TOKEN, token)
    verify(url, store.read(API_TOKEN))
    return {"changed": True, "revoked": revoked, "reason": reason}


def _reason(url: str, store: SecretStore, *, renew: bool) -> str:
    """Why a new token is needed; empty when none is."""
    if not store.exists(API_TOKEN):
        return "no token is stored"
    token = _stored(store)
    if not token:
        return "the stored token is empty"
    if not is_valid(url, token):
        return "Label Studio does not accept the stored token"
    return "rotation was asked for" if renew else ""


def _stored(store: SecretStore) -> str:
    """An empty token file guards nothing, unlike an empty password: it may be replaced."""
    try:
        return store.read(API_TOKEN)
    except SamstudioError:
        if store.path(API_TOKEN).stat().st_size <= 1 and not store.path(API_TOKEN).stat().st_mode & 0o077:
            return ""
        raise
