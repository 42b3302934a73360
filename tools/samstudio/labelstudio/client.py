"""Connections to Label Studio: plain HTTP, authorised HTTP, and the SDK, all with timeouts and one kind of error."""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from samstudio.deployment import INTERNAL_CA, config_dir
from samstudio.errors import SamstudioError

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio as Sdk

#: Seconds. A click waits for an image to be encoded; Label Studio itself gives a backend 100 s.
TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class LabelStudioError(SamstudioError):
    """Label Studio refused or could not be reached.

    Args:
        status: the HTTP status, None when no answer came.
    """

    def __init__(self, message: str, *, status: int | None = None, **fields: str) -> None:
        super().__init__(message, **fields)
        self.status = status


@dataclass(frozen=True)
class LabelStudio:
    """An authorised connection; close it, or use it in a `with`."""

    url: str
    sdk: Sdk
    http: httpx.Client
    _sdk_http: httpx.Client

    def __enter__(self) -> LabelStudio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()
        self._sdk_http.close()

    def version(self) -> str:
        with api_errors("ask Label Studio for its version"):
            answer = self.http.get("/api/version")
            answer.raise_for_status()
            return str(answer.json()["release"])


class TokenAuth(httpx.Auth):
    """Sends a legacy token as it is, a personal access token as the short-lived access token it is exchanged for."""

    requires_response_body = True

    def __init__(self, url: str, token: str) -> None:
        self._refresh_url = f"{url}/api/token/refresh/"
        self._token = token
        self._access = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if token_kind(self._token) == "legacy":
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if self._access:
            request.headers["Authorization"] = f"Bearer {self._access}"
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
        refreshed = yield httpx.Request("POST", self._refresh_url, json={"refresh": self._token})
        if refreshed.status_code != httpx.codes.OK:
            raise LabelStudioError(
                "Label Studio does not accept the personal access token.",
                status=refreshed.status_code,
                link="token",
                found=f"{refreshed.status_code} {detail(refreshed)} from {self._refresh_url}",
                expected="a token that was neither revoked nor made with another SECRET_KEY",
                command="samstudio token ensure",
            )
        self._access = refreshed.json()["access"]
        request.headers["Authorization"] = f"Bearer {self._access}"
        yield request


def token_kind(token: str) -> str:
    """`personal` for a personal access token (a JWT of type refresh), `access` for a short-lived one, else `legacy`."""
    parts = token.split(".")
    if len(parts) != 3:
        return "legacy"
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return "legacy"
    return "access" if payload.get("token_type") == "access" else "personal"


def is_private(url: str) -> bool:
    """Whether a URL's host is loopback, private, or a bare name: an address no proxy should see."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def http_client(url: str, *, auth: httpx.Auth | None = None, timeout: httpx.Timeout | float = TIMEOUT) -> httpx.Client:
    """An HTTP client that asks a proxy only for addresses that are not local, whatever `NO_PROXY` forgot."""
    return httpx.Client(
        base_url=url,
        auth=auth,
        timeout=timeout,
        trust_env=not is_private(url),
        follow_redirects=False,
        verify=_trust() if url.startswith("https:") else True,
    )


def label_studio_client(
    url: str, *, auth: httpx.Auth | None = None, timeout: httpx.Timeout | float = TIMEOUT
) -> httpx.Client:
    """An HTTP client that takes nothing but JSON from Label Studio's API.

    A proxy's page, or another program at that port, is named as that instead of being parsed.
    """
    client = http_client(url, auth=auth, timeout=timeout)
    client.event_hooks = {"response": [_insist_on_json]}
    return client


def _insist_on_json(response: httpx.Response) -> None:
    path = response.request.url.path
    kind = response.headers.get("Content-Type", "no content type")
    empty = response.status_code == httpx.codes.NO_CONTENT or response.headers.get("Content-Length") == "0"
    if "/api/" in path and response.is_success and not empty and "json" not in kind:
        raise _something_else("use Label Studio", f"{response.status_code}, {kind}, from {response.request.url}")


def _trust() -> ssl.SSLContext:
    """The CAs that httpx trusts and, where there is one, the TLS proxy's own."""
    context = httpx.create_ssl_context()
    own = config_dir() / INTERNAL_CA
    if own.is_file():
        context.load_verify_locations(own)
    return context


def connect(url: str, token: str) -> LabelStudio:
    """Connect with a personal access token or a legacy token.

    Nothing is sent yet, so a wrong token shows at the first call; `tokens.verify` asks at once.
    """
    from label_studio_sdk import LabelStudio as Sdk  # heavy: two seconds, wanted by few commands

    url = url.rstrip("/")
    sdk_http = label_studio_client(url)
    with api_errors("use the API token"):
        sdk = Sdk(base_url=url, api_key=token, httpx_client=sdk_http, timeout=TIMEOUT.read)  # type: ignore[no-untyped-call]
    return LabelStudio(url, sdk, label_studio_client(url, auth=TokenAuth(url, token)), sdk_http)


@contextmanager
def api_errors(action: str) -> Iterator[None]:
    """Turn what httpx and the SDK raise into a LabelStudioError that says what was being done.

    Args:
        action: completes "Could not …".
    """
    from label_studio_sdk.core.api_error import ApiError

    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _refused(action, error.response.status_code, detail(error.response), str(error.request.url)) from error
    except httpx.TransportError as error:
        where = str(error.request.url) if error._request is not None else "Label Studio"
        raise LabelStudioError(
            f"Could not {action}: Label Studio does not answer.",
            link="label-studio",
            found=f"{where}: {str(error) or type(error).__name__}",
            expected="Label Studio listening there",
            command="samstudio doctor",
        ) from error
    except ApiError as error:
        if error.status_code is not None and error.status_code < httpx.codes.BAD_REQUEST:
            raise _something_else(action, flatten(error.body)) from error
        raise _refused(action, error.status_code, flatten(error.body), "") from error
    except (ValueError, KeyError, TypeError) as error:  # no JSON, or other JSON than Label Studio's
        raise _something_else(action, f"{type(error).__name__}: {error}") from error


def _something_else(action: str, found: str) -> LabelStudioError:
    return LabelStudioError(
        f"Could not {action}: what answers there is not Label Studio.",
        link="label-studio",
        found=" ".join(found.split())[:300],
        expected="Label Studio's own API at this address",
        command="samstudio status   # shows the address; --label-studio-url names another",
    )


def _refused(action: str, status: int | None, text: str, url: str) -> LabelStudioError:
    unauthorised = status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) and "reserved network" not in text
    return LabelStudioError(
        f"Could not {action}: Label Studio refused.",
        status=status,
        link="token" if unauthorised else "label-studio",
        found=" ".join(part for part in (str(status or ""), text, f"({url})" if url else "") if part),
        expected="a token of a user who may do this" if unauthorised else "",
        command="samstudio token ensure" if unauthorised else "samstudio doctor",
    )


def detail(response: httpx.Response) -> str:
    """What an error response says, without markup: Label Studio's JSON `detail` and validation errors, or its text."""
    try:
        return flatten(response.json())
    except ValueError:
        return response.text.strip()[:200]


def flatten(body: Any) -> str:
    """The sentences in a body of Django REST framework, on one line."""
    if isinstance(body, dict):
        errors = body.get("validation_errors")
        if errors:
            return flatten(errors)
        if body.get("detail"):
            return flatten(body["detail"])
        return "; ".join(f"{key}: {flatten(value)}" for key, value in body.items() if value not in (None, "", {}, []))
    if isinstance(body, list):
        return "; ".join(flatten(item) for item in body)
    return str(body)
