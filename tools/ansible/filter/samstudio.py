"""The tools' pure functions as Ansible filters, so that roles and people compute the same thing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ansible.errors import AnsibleFilterError
from samstudio import ssrf
from samstudio.secret_store import EMAIL


def _listed(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def banned_subnets(allowed: str | Iterable[str], banned: Iterable[str] | None = None) -> list[str]:
    """Label Studio's banned list minus the addresses in `allowed`."""
    try:
        return ssrf.exempt(ssrf.KNOWN if banned is None else list(banned), _listed(allowed))
    except ValueError as error:
        raise AnsibleFilterError(f"samstudio_banned_subnets: {error}") from error


def names(admitted: str | Iterable[str]) -> list[str]:
    """Those that are names, whose addresses have to be looked up."""
    return [each for each in _listed(admitted) if not ssrf.is_address(each)]


def no_emails(addresses: Iterable[str]) -> list[str]:
    """Those that Label Studio's sign-in does not know as an address."""
    return [each for each in map(str, addresses) if not EMAIL.fullmatch(each)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "samstudio_banned_subnets": banned_subnets,
            "samstudio_names": names,
            "samstudio_no_emails": no_emails,
        }
