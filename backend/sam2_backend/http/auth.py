"""HTTP basic auth for everything but the two health addresses."""

from __future__ import annotations

import base64
import binascii
import hmac

from sam2_backend.settings import Secret

OPEN_PATHS = frozenset({"/", "/health"})


class BasicAuth:
    def __init__(self, user: str, password: Secret) -> None:
        self._user = user
        self._password = password

    @property
    def required(self) -> bool:
        return bool(self._user)

    def allows(self, path: str, authorization: str) -> bool:
        """Whether a request with this `Authorization` header may pass. Comparison takes the same time for any input.

        Each line of the password's file is a password: while one is replaced, the old one and the new one pass.
        """
        if not self.required or path in OPEN_PATHS:
            return True
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        accepted = [f"{self._user}:{line}".encode() for line in self._password.get().splitlines()]
        return sum(hmac.compare_digest(given, each) for each in accepted) > 0
