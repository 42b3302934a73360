"""Where images may be fetched from: http(s), and never from link-local, unspecified or multicast addresses.

Private addresses stay allowed, because that is where a hospital's images live. The check runs on what is connected to,
so a name that resolves to a forbidden address is refused as well.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .errors import Problem

FORBIDDEN = "is link-local, unspecified or multicast; images are never fetched from there"


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


def forbidden(address: str) -> bool:
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast


class GuardedResolver(AbstractResolver):
    """Resolves names and drops the addresses that must not be connected to."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [entry for entry in found if not forbidden(entry["host"])]
        if found and not allowed:
            raise Problem(422, "fetch", f"The image host {host} {FORBIDDEN}.")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def connector(**options: Any) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(resolver=GuardedResolver(), ttl_dns_cache=30, **options)
