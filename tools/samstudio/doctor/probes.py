"""What can be found out from outside: connections made from each side, environments of servers, the NVIDIA driver."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from samstudio.addresses import Address

LISTEN = "0A"
SECONDS = 15

#: Runs in any Python 3, here or in a container. A refusal comes at once; three seconds of silence are a firewall.
PROBE = """
import json, socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
    said = ["", ""]
except socket.gaierror as error:
    said = ["name", str(error)]
except ConnectionRefusedError as error:
    said = ["refused", str(error)]
except OSError as error:
    said = ["dropped", str(error) or "timed out"]
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Reached:
    """``failure`` is `name`, `refused`, `dropped`, or "" for a connection or where nothing was ``tried``."""

    failure: str
    said: str
    tried: bool = True


def reach(host: str, port: int, *, container: str = "") -> Reached:
    """Connect to host:port from a container, or from this machine."""
    python = ["docker", "exec", container, "python3"] if container else [sys.executable]
    try:
        ran = subprocess.run(
            [*python, "-c", PROBE, host, str(port)], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        failure, said = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return Reached("", (said.strip() or type(error).__name__).splitlines()[-1][:200], tried=False)
    return Reached(failure, said)


def url_from_elsewhere(port: int, towards: str) -> str:
    """The URL by which another machine or a container reaches a port of this one, "" when there is no way there."""
    own = _own_address(towards)
    return Address("http", own, port).url if own else ""


def _own_address(towards: str) -> str:
    """This machine's address on its way to another; towards itself, that of its way out."""
    for target in (towards, "192.0.2.1"):
        try:
            family, *_, place = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(place)  # UDP: nothing is sent
                found = str(probe.getsockname()[0])
        except OSError:
            continue
        if not ipaddress.ip_address(found).is_loopback:
            return found
    return ""


def container_environment(container: str) -> dict[str, str] | None:
    """The environment a container was made with; None when the engine does not say."""
    argv = ["docker", "inspect", "--format", "{{json .Config.Env}}", container]
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=True)
        return _variables(json.loads(ran.stdout) or [])
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def environment_of_listener(url: str, program: str = "") -> dict[str, str] | None:
    """The environment of the process that listens at a URL; None for another machine's or another user's.

    Args:
        program: a regular expression for its command line; what only forwards a port (docker-proxy, ssh) is not it.
    """
    parts = urlsplit(url)
    if parts.port is None or not _is_here(parts.hostname or ""):
        return None
    for process in _holders(_sockets(parts.port)):
        try:
            if not re.search(program, (process / "cmdline").read_text(errors="replace")):
                continue
            return _variables((process / "environ").read_text(errors="replace").split("\0"))
        except OSError:
            continue
    return None


def swallowing_proxy(environment: dict[str, str] | None, url: str) -> str | None:
    """The proxy that an environment makes `requests` use for ``url``, or None when it goes there directly."""
    if not environment:
        return None
    parts = urlsplit(url)
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in environment.items()
        if name.lower().endswith("_proxy")
    }
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or _bypassed(parts.hostname or "", proxies):
        return None
    return proxy


def _bypassed(host: str, proxies: dict[str, str]) -> bool:
    return bool(urllib.request.proxy_bypass_environment(host, proxies))  # type: ignore[attr-defined]


def _variables(pairs: list[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _is_here(host: str) -> bool:
    try:
        family, *_, place = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(place)  # only an address of this machine can be bound
    except OSError:
        return False
    return True


def _sockets(port: int) -> set[str]:
    """Inodes of the sockets that listen on a TCP port (/proc/net/tcp: local address in hexadecimal, state 0A)."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _holders(sockets: set[str]) -> list[Path]:
    holders = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                holders.append(process)
        except OSError:
            continue
    return holders


@dataclass(frozen=True)
class Nvidia:
    """What nvidia-smi says of all GPUs; ``said`` is its complaint."""

    gpu: str = ""
    driver: str = ""
    said: str = ""


def nvidia_smi() -> Nvidia:
    argv = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return Nvidia()
    if ran.returncode or "," not in ran.stdout:
        return Nvidia(said=(ran.stdout + ran.stderr).strip() or f"exit code {ran.returncode}")
    gpus, drivers = zip(*(line.rsplit(",", 1) for line in ran.stdout.splitlines() if "," in line), strict=True)
    return Nvidia(", ".join(gpu.strip() for gpu in gpus), drivers[0].strip())
