"""A person's browser as far as TLS goes: redirect, HSTS, and a sign-in with cookies that never travel in the clear.

Reads {"address", "email", "password", "ca"} from stdin, ca as PEM; prints what was seen as JSON.
"""

from __future__ import annotations

import http.cookiejar
import json
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

given = json.load(sys.stdin)
home = given["address"]


class Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are answers here."""

    def redirect_request(self, *_: object) -> None:
        return None


jar = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(
    Stay,
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=given["ca"])),
    urllib.request.HTTPCookieProcessor(jar),
)


def ask(url: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, data=body, headers={"Referer": home + "/user/login/", "Origin": home})
    try:
        answer = browser.open(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return answer.status, headers, answer.read().decode(errors="replace")


plain, plain_headers, _ = ask(home.replace("https://", "http://") + "/projects/?page=1")
page, page_headers, text = ask(home + "/user/login/")
token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
form = {"email": given["email"], "password": given["password"], "csrfmiddlewaretoken": token.group(1) if token else ""}
signed_in, signed_in_headers, _ = ask(home + "/user/login/", form)
projects, _, _ = ask(home + "/api/projects/")
print(
    json.dumps(
        {
            "plain": [plain, plain_headers.get("location")],
            "login_page": page,
            "hsts": page_headers.get("strict-transport-security"),
            "signed_in": [signed_in, signed_in_headers.get("location")],
            "api": projects,
            "insecure_cookies": [cookie.name for cookie in jar if not cookie.secure],
            "cookies": sorted(cookie.name for cookie in jar),
        }
    )
)
