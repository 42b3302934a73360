"""Let Label Studio reach its backend, and nothing else that its SSRF guard refuses.

Label Studio checks every address it is made to call against a list of banned networks (`validate_ip` in its
`core/utils/io.py`). A backend on a private address is on that list. With `USE_DEFAULT_BANNED_SUBNETS=false` it checks
`USER_ADDITIONAL_BANNED_SUBNETS` alone, so its own list minus the backend's addresses opens exactly those.

Standard library only: Ansible's own Python imports this.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: the version whose list KNOWN is
KNOWN_VERSION = "1.23.2"

#: data of Label Studio 1.23.2, `core/utils/io.py: validate_ip`
KNOWN: tuple[str, ...] = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "233.252.0.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001:0000::/32",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)


def resolved(name: str) -> list[str]:
    """The addresses of a name as this machine resolves it; an address is its own.

    Raises:
        OSError: nothing of that name.
    """
    found = socket.getaddrinfo(name.strip().strip("[]"), None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def is_address(text: str) -> bool:
    """Whether a text is an IP address or a network, and no name."""
    try:
        ipaddress.ip_network(text.strip().strip("[]"), strict=False)
    except ValueError:
        return False
    return True


def exempt(banned: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """`banned` without the addresses (or networks) in `allowed`: every other address stays as it was.

    Ranges of `banned` that overlap are cut one by one, so the order and the untouched entries stay readable.

    Raises:
        ValueError: an entry is no IP address or network, or a network is broader than one that is banned whole;
            opening it would open more than a backend.
    """
    networks: list[IPNetwork] = [ipaddress.ip_network(text) for text in banned]
    holes = [_hole(text) for text in allowed]
    for hole in holes:
        for network in networks:
            if network != hole and _inside(network, hole):
                raise ValueError(f"{hole} swallows the banned network {network}; name the backend's own address")
    remaining = networks
    for hole in holes:
        remaining = [part for network in remaining for part in _without(network, hole)]
    return [str(network) for network in remaining]


def _hole(text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text.strip().strip("[]"))
    except ValueError as error:
        raise ValueError(f"{text!r} is no IP address; resolve the backend's name first") from error


def _inside(network: IPNetwork, other: IPNetwork) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]


def _without(network: IPNetwork, hole: IPNetwork) -> list[IPNetwork]:
    if _inside(network, hole):
        return []
    if not _inside(hole, network):
        return [network]
    return sorted(network.address_exclude(hole))  # type: ignore[arg-type]


def blocking(banned: Iterable[str], address: str) -> list[str]:
    """The entries of `banned` that refuse `address`, as Label Studio would name them."""
    ip = ipaddress.ip_address(address.strip("[]"))
    return [text for text in banned if ip in ipaddress.ip_network(text)]


@dataclass(frozen=True)
class Difference:
    """How the list of a deployed Label Studio differs from the one this code knows."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def sentence(self, version: str) -> str:
        return (
            f"Label Studio {version} bans a different list than {KNOWN_VERSION}: "
            f"added {', '.join(self.added) or 'nothing'}; removed {', '.join(self.removed) or 'nothing'}."
        )


def compare(known: Iterable[str], deployed: Iterable[str]) -> Difference:
    """Compare two lists as networks: order and spelling (`2001:0000::/32`, `2001::/32`) do not matter."""
    ours = {ipaddress.ip_network(text) for text in known}
    theirs = {ipaddress.ip_network(text) for text in deployed}
    return Difference(
        added=tuple(sorted(str(network) for network in theirs - ours)),
        removed=tuple(sorted(str(network) for network in ours - theirs)),
    )


def narrow_environment(banned: Iterable[str], allowed: Iterable[str]) -> dict[str, str]:
    """Label Studio's environment: the guard stays on, with a hole for exactly `allowed`."""
    return {
        "ML_BLOCK_LOCAL_IP": "true",
        "SSRF_PROTECTION_ENABLED": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(exempt(banned, allowed)),
    }


#: Shown to whoever asks for the broad mode.
BROAD_WARNING = (
    "Label Studio's SSRF guard is off: anyone who may add an ML backend or a webhook can make Label Studio call any "
    "address of your network. Prefer the narrow mode, which opens the backend's address alone."
)


def broad_environment() -> dict[str, str]:
    """Label Studio's environment without the guard.

    `ML_BLOCK_LOCAL_IP=false` alone does not help: saving an ML backend also saves a webhook, and the webhook has a
    guard of its own, `SSRF_PROTECTION_ENABLED`.
    """
    return {"ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "false"}


#: Runs in Label Studio's own Python. It parses the file instead of importing it: importing needs a configured Django.
READER = """
import ast, importlib.metadata, importlib.util, json, os, pathlib
package = pathlib.Path(importlib.util.find_spec("label_studio").submodule_search_locations[0])
tree = ast.parse((package / "core" / "utils" / "io.py").read_text(encoding="utf-8"))
lists = [ast.literal_eval(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)
         and any(getattr(target, "id", None) == "default_banned_subnets" for target in node.targets)]
names = ("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED", "USE_DEFAULT_BANNED_SUBNETS", "USER_ADDITIONAL_BANNED_SUBNETS")
print(json.dumps({"version": importlib.metadata.version("label-studio"), "default": lists[0] if lists else None,
                  "environment": {name: os.environ[name] for name in names if name in os.environ}}))
"""


@dataclass(frozen=True)
class DeployedGuard:
    """What READER printed: a Label Studio's version, its own default list (None: not found) and its settings."""

    version: str
    default: tuple[str, ...] | None
    environment: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> DeployedGuard:
        read = json.loads(text)
        default = read["default"]
        return cls(read["version"], None if default is None else tuple(default), dict(read["environment"]))

    @property
    def effective(self) -> tuple[str, ...]:
        """What is refused now, computed as `validate_ip` does."""
        use_default = _true(self.environment.get("USE_DEFAULT_BANNED_SUBNETS", "true"))
        extra = [part.strip() for part in self.environment.get("USER_ADDITIONAL_BANNED_SUBNETS", "").split(",")]
        return (*((self.default or KNOWN) if use_default else ()), *(part for part in extra if part))

    @property
    def guards_ml(self) -> bool:
        return _true(self.environment.get("ML_BLOCK_LOCAL_IP", "true"))

    @property
    def guards_webhooks(self) -> bool:
        return _true(self.environment.get("SSRF_PROTECTION_ENABLED", "true"))


def _true(text: str) -> bool:
    return text.strip().lower() in ("true", "yes", "on", "1")


__all__: Sequence[str] = (
    "BROAD_WARNING",
    "KNOWN",
    "KNOWN_VERSION",
    "READER",
    "DeployedGuard",
    "Difference",
    "blocking",
    "broad_environment",
    "compare",
    "exempt",
    "is_address",
    "narrow_environment",
)
