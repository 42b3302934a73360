"""Sign in as a person does: the only way to a first personal access token."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from samstudio.addresses import normalise
from samstudio.labelstudio.client import LabelStudioError, api_errors, label_studio_client

LOGIN = "/user/login/"


@contextmanager
def sign_in(url: str, email: str, password: str) -> Iterator[httpx.Client]:
    """A signed-in client that sends the CSRF token with every request.

    Raises:
        LabelStudioError: no answer, or the password does not fit (status 401).
    """
    url = url.rstrip("/")
    with label_studio_client(url, timeout=30.0) as client, api_errors(f"sign in as {email}"):
        if normalise(url, keep_path=True).is_loopback:
            client.event_hooks["response"].append(lambda _: _take_for_safe(client))
        client.get(LOGIN).raise_for_status()
        token = client.cookies.get("csrftoken") or ""
        if not token:
            raise LabelStudioError(
                f"Could not sign in as {email}: what answers there is not Label Studio.",
                link="label-studio",
                found=f"a page without Label Studio's sign-in form at {url}{LOGIN}",
                expected="Label Studio at this address",
                command="samstudio status   # shows the address; --label-studio-url names another",
            )
        answer = client.post(
            LOGIN,
            data={"email": email, "password": password, "csrfmiddlewaretoken": token},
            headers={"Referer": url + LOGIN},
        )
        if answer.status_code == httpx.codes.OK:
            said = re.findall(r'<p class="error">\s*(.*?)\s*</p>', answer.text, re.DOTALL)
            raise LabelStudioError(
                f"The password in the secrets is not {email}'s password in Label Studio.",
                status=401,
                link="token",
                found=html.unescape("; ".join(said)) or "the sign-in form again",
                expected="label_studio_admin_password to be what Label Studio's user was made with",
                command=f"put the right password into the secret label_studio_admin_password, or set the one it holds: "
                f"docker exec -it label-studio label-studio reset_password --username {email}",
            )
        if not answer.is_redirect:
            answer.raise_for_status()
        client.headers["X-CSRFToken"] = client.cookies.get("csrftoken") or token
        client.headers["Referer"] = url
        yield client


def _take_for_safe(client: httpx.Client) -> None:
    """Behind a TLS proxy, cookies are for HTTPS alone; to this machine itself they go without, as browsers have it."""
    for cookie in client.cookies.jar:
        cookie.secure = False
