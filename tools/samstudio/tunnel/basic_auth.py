"""Never put a backend on a public address that anyone could use."""

from __future__ import annotations

import httpx

from samstudio.tunnel.failures import BACKEND_DOWN, BACKEND_OPEN, BACKEND_PASSWORD, UPSTREAM_HTTPS, TunnelError

TIMEOUT = httpx.Timeout(10.0, connect=3.0)


def require_basic_auth(backend: str, user: str, password: str) -> None:
    """Pass only if ``backend`` refuses /predict without credentials and takes these.

    Raises:
        TunnelError: it is open, does not answer, speaks plain http on https://, or refuses the credentials.
    """
    try:
        # no proxy: the agent does not go through one to its upstream either
        with httpx.Client(base_url=backend, timeout=TIMEOUT, trust_env=False) as client:
            anonymous = client.post("/predict", json={})
            known = client.get("/versions", auth=(user, password))
    except httpx.HTTPError as error:
        if UPSTREAM_HTTPS.recognises(str(error).replace("_", " ")):
            plain = backend.replace("https://", "http://", 1)
            raise TunnelError(UPSTREAM_HTTPS, backend=backend, plain=plain) from error
        raise TunnelError(BACKEND_DOWN, backend=backend, reason=str(error) or type(error).__name__) from error
    if anonymous.status_code != httpx.codes.UNAUTHORIZED:
        raise TunnelError(BACKEND_OPEN, backend=backend)
    if known.status_code == httpx.codes.UNAUTHORIZED:
        raise TunnelError(BACKEND_PASSWORD, backend=backend)
