"""Label Studio's credentials: a personal access token, a legacy token, or, last, the token that /setup brought."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from typing import Any

import aiohttp

from sam2_backend.problems import Problem
from sam2_backend.settings import Secret

RENEW_SECONDS_BEFORE_EXPIRY = 30


class Credentials:
    """`Authorization` headers. The API key is for `home`, the origin of LABEL_STUDIO_URL, and for nobody else."""

    def __init__(self, api_key: Secret, home: str) -> None:
        self._api_key = api_key
        self._home = home
        self._from_setup: dict[str, str] = {}
        self._access: dict[tuple[str, str], tuple[str, float]] = {}
        self._renewing = asyncio.Lock()

    def remember(self, origin: str, token: str) -> None:
        """The token of a /setup call, for that Label Studio only."""
        self._from_setup[origin] = token

    async def header(self, session: aiohttp.ClientSession, origin: str) -> str:
        """The header's value, or "" if there is no token. Raises Problem if a personal access token is refused."""
        token = (self._api_key.get() if origin == self._home else "") or self._from_setup.get(origin, "")
        if not token:
            return ""
        if not is_personal_access_token(token):
            return f"Token {token}"
        return f"Bearer {await self._bearer(session, origin, token)}"

    def forget_access(self, origin: str) -> None:
        """After a 401: the next call trades the personal access token again."""
        for key in [key for key in self._access if key[0] == origin]:
            del self._access[key]

    async def _bearer(self, session: aiohttp.ClientSession, origin: str, refresh: str) -> str:
        async with self._renewing:
            access, until = self._access.get((origin, refresh), ("", 0.0))
            if time.time() < until - RENEW_SECONDS_BEFORE_EXPIRY:
                return access
            url = f"{origin}/api/token/refresh/"
            async with session.post(url, json={"refresh": refresh}, allow_redirects=False) as response:
                if response.status != 200:
                    raise Problem(
                        502,
                        "fetch",
                        f"Label Studio at {origin} refused the personal access token in LABEL_STUDIO_API_KEY "
                        f"(HTTP {response.status} from /api/token/refresh/): make a new one in Account & Settings.",
                    )
                access = _access_token(await response.read())
            if not access:
                raise Problem(
                    502,
                    "fetch",
                    f"{url} answered without an access token: expected Label Studio's JSON, found something else, such "
                    "as a proxy's or a sign-in page. See that LABEL_STUDIO_URL of the backend is Label Studio's own.",
                )
            self._access[(origin, refresh)] = (access, float(claims(access).get("exp", time.time() + 60)))
            return access


def _access_token(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    access = answer.get("access") if isinstance(answer, dict) else ""
    return access if isinstance(access, str) else ""


def is_personal_access_token(token: str) -> bool:
    """A personal access token is a JWT of type `refresh`; a legacy token is 40 hex digits."""
    return claims(token).get("token_type") == "refresh" or token.count(".") == 2


def claims(token: str) -> dict[str, Any]:
    """A JWT's payload, unchecked: only its type and expiry are looked at."""
    try:
        payload = token.split(".")[1]
        decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return decoded if isinstance(decoded, dict) else {}
