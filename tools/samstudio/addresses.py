"""Addresses that work: URLs mended, or refused with a reason.

Standard library only: Ansible's own Python imports this. Nothing here connects; the doctor does.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

LOCALHOST = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 - names to recognise
SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://")


@dataclass(frozen=True)
class Address:
    """A URL fit for a configuration: scheme, host, port, perhaps a path; `changes` says what was mended."""

    scheme: str
    host: str
    port: int
    path: str = ""
    changes: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}{'' if self.port == standard else f':{self.port}'}{self.path}"

    @property
    def is_loopback(self) -> bool:
        if self.host in LOCALHOST or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def normalise(text: str, *, default_port: int | None = None, keep_path: bool = False) -> Address:
    """Mend a URL as people type it.

    Args:
        default_port: the service's port, for a host without one (9090 for a backend, 8080 for Label Studio).
        keep_path: a path is part of it (Label Studio below a path); else it is dropped.

    Raises:
        ValueError: no host, a port that is none, or a scheme other than http(s); the text says what to write.
    """
    changes = []
    url = text.strip().strip("'\"")
    if not url:
        raise ValueError("empty; write http://HOST:PORT")
    if not SCHEME.match(url):
        url = f"http://{_bracketed(url.removeprefix('//'))}"
        changes.append("http:// added: Label Studio takes a URL without a scheme for one without a host")
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"scheme {scheme}:// in {text!r}; write http://HOST:PORT")
    if not parts.hostname:
        raise ValueError(f"no host in {text!r}; write {scheme}://HOST:PORT")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"the port in {text!r} is no number up to 65535") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("credentials in the URL; write them to basic_auth_user and the secret instead")
    if parts.hostname in ("0.0.0.0", "::"):  # noqa: S104
        raise ValueError(f"{parts.hostname} is an address to listen on; write the one to connect to")
    if port is None:
        port = default_port if default_port and scheme == "http" else {"http": 80, "https": 443}[scheme]
        if port not in (80, 443):
            changes.append(f"port {port} added")
    path = parts.path.rstrip("/")
    if path and not keep_path:
        changes.append(f"path {path} dropped: paths are added by whoever calls")
        path = ""
    if parts.query or parts.fragment:
        changes.append("what follows ? or # dropped")
    return Address(scheme, parts.hostname.lower(), port, path, tuple(changes))


def _bracketed(text: str) -> str:
    """A bare IPv6 address gets its brackets."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return text
    return f"[{text}]"
