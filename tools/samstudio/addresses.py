"""Addresses that work: URLs mended or refused with a reason, and which URL each party must use for each other.

Standard library only: Ansible's own Python imports this. Nothing here connects; the doctor does.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
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


class Runs(Enum):
    """Where a party runs, as the others see it."""

    CONTAINER = "container"  # on the shared container network
    HOST = "host"  # a process on the container host
    ELSEWHERE = "elsewhere"  # another machine
    TUNNEL = "tunnel"  # reached through a public tunnel


@dataclass(frozen=True)
class Party:
    """A program or person that others connect to.

    Attributes:
        name: DNS name on the container network (containers), or a name or address that others resolve.
        port: where it listens.
        published: the address and port at which a container is published on the host, when it is.
        public_url: the tunnel's, or a reverse proxy's, URL.
    """

    runs: Runs
    name: str
    port: int
    published: tuple[str, int] | None = None
    public_url: str = ""


@dataclass(frozen=True)
class Answer:
    """The URL to use, or none, and why."""

    url: str
    why: str


def url_for(target: Party, seen_from: Runs, *, gateway: str = "", host_address: str = "") -> Answer:
    """Which URL one party must use for another.

    Args:
        target: whom to reach.
        seen_from: where the caller runs.
        gateway: the container network's gateway, which is the host as containers see it.
        host_address: an address of the container host that other machines reach.
    """
    if target.public_url:
        return Answer(normalise(target.public_url, keep_path=True).url, "its public URL works from everywhere")
    if seen_from is Runs.CONTAINER and target.runs is Runs.CONTAINER:
        return Answer(_http(target.name, target.port), "both are on the container network, where names resolve")
    if target.runs is Runs.TUNNEL:
        return Answer("", "a tunnel has a public URL only; start it first: samstudio tunnel")
    if target.runs is Runs.ELSEWHERE:
        if Address("http", target.name, target.port).is_loopback:
            return Answer("", f"{target.name} means the caller itself; name the other machine")
        return Answer(_http(target.name, target.port), "another machine, by its own name or address")
    if target.runs is Runs.HOST:
        return _to_host(target.port, seen_from, gateway, host_address)
    return _to_published(target, seen_from, gateway, host_address)


def _to_host(port: int, seen_from: Runs, gateway: str, host_address: str) -> Answer:
    if seen_from is Runs.HOST:
        return Answer(_http("127.0.0.1", port), "both are on the host")
    if seen_from is Runs.CONTAINER:
        if not gateway:
            return Answer("", "a container reaches the host at its network's gateway; give that address")
        return Answer(_http(gateway, port), "localhost inside a container is the container; the gateway is the host")
    if not host_address:
        return Answer("", "another machine needs the host's own address; give it")
    return Answer(_http(host_address, port), "another machine uses the host's own address")


def _to_published(target: Party, seen_from: Runs, gateway: str, host_address: str) -> Answer:
    if target.published is None:
        return Answer("", f"{target.name} publishes no port; only its container network reaches it")
    address, port = target.published
    everywhere = address in ("", "0.0.0.0", "::")  # noqa: S104
    if seen_from is Runs.HOST:
        return Answer(_http("127.0.0.1" if everywhere else address, port), "published on the host")
    if not everywhere and Address("http", address, port).is_loopback:
        return Answer("", f"{target.name} is published on {address} only; publish it on an address the caller reaches")
    return _to_host(port, seen_from, gateway, host_address if everywhere else address)


def _http(host: str, port: int) -> str:
    return Address("http", host.strip("[]"), port).url
