"""Where images may be fetched from: http(s), and never from addresses that serve a machine's own credentials.

Forbidden are link-local, unspecified and multicast addresses, and the metadata services of clouds that lie elsewhere.
Private addresses stay allowed, because that is where a hospital's images live. The check runs on what is connected to,
so a name that resolves to a forbidden address is refused as well. Through a proxy it is the proxy that resolves; the
name is resolved here first then, and what cannot be resolved here is left to the proxy.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from sam2_backend.problems import Problem

FORBIDDEN = "is link-local, unspecified, multicast or a cloud's metadata service; images are never fetched from there"
# Metadata services outside the link-local ranges: AWS over IPv6, Google over IPv6, Alibaba, Azure, Oracle.
METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
# RFC 6052: an IPv4 address in the last 32 bits.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_url(url: str) -> None:
    """Raises Problem for another scheme than http(s) or a literal forbidden address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        scheme = f"{parts.scheme}://" if parts.scheme else "a relative address"
        raise Problem(
            422,
            "fetch",
            f"An image address with {scheme} cannot be fetched: use http(s), an upload, or a source storage.",
        )
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return
    if forbidden(str(address)):
        raise Problem(422, "fetch", f"The image address {parts.hostname} {FORBIDDEN}.")


async def check_what_the_proxy_resolves(url: str) -> None:
    """Raises Problem if `url` goes through a proxy and its name means a forbidden address here."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(host):
        return
    try:
        found = await ThreadedResolver().resolve(host, parts.port or 0, socket.AF_UNSPEC)
    except OSError:
        return
    if any(forbidden(entry["host"]) for entry in found):
        raise Problem(422, "fetch", f"The image host {host} {FORBIDDEN}.")


def forbidden(address: str) -> bool:
    """Whether `address`, or an IPv4 address inside it, is one that nothing is fetched from."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    return any(
        meant.is_link_local or meant.is_unspecified or meant.is_multicast or meant in METADATA
        for meant in (parsed, *_inside(parsed))
    )


def _inside(address: Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address is translated or tunnelled to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour]
    if address in NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner]


class GuardedResolver(AbstractResolver):
    """Resolves names and drops the addresses that must not be connected to."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises Problem if nothing is left, OSError for a name that does not resolve."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [entry for entry in found if not forbidden(entry["host"])]
        if found and not allowed:
            raise Problem(422, "fetch", f"The image host {host} {FORBIDDEN}.")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def connector(**options: Any) -> aiohttp.TCPConnector:
    """A connector for aiohttp that connects to no forbidden address."""
    return aiohttp.TCPConnector(resolver=GuardedResolver(), ttl_dns_cache=30, **options)
