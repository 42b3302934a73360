"""Name resolution and a TCP connection, tried from the side that will need them."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
from dataclasses import dataclass

from samstudio.addresses import Address
from samstudio.doctor.cause import Cause
from samstudio.doctor.causes.way import BACKEND_REFUSED, DROPPED, NAME_UNKNOWN

SECONDS = 20

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
CAUSES: dict[str, Cause] = {"name": NAME_UNKNOWN, "refused": BACKEND_REFUSED, "dropped": DROPPED}


@dataclass(frozen=True)
class Reached:
    """``cause`` is None when the connection was made, or not ``tried``; ``said`` is the operating system's word."""

    cause: Cause | None
    said: str
    tried: bool = True


def reach(host: str, port: int, *, container: str = "") -> Reached:
    """Connect to host:port from a container, or from this machine."""
    python = ["docker", "exec", container, "python3"] if container else [sys.executable]
    try:
        ran = subprocess.run(
            [*python, "-c", PROBE, host, str(port)], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        kind, said = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return Reached(None, said.strip().splitlines()[-1][:200], tried=False)
    return Reached(CAUSES.get(kind), said)


def url_from_elsewhere(port: int, towards: str) -> str:
    """The URL by which another machine or a container reaches a port of this one, "" when there is no way there."""
    own = _own_address(towards)
    return Address("http", own, port).url if own else ""


def _own_address(towards: str) -> str:
    """This machine's address on its way to another; towards itself, that of its way out."""
    for target in (towards, "192.0.2.1"):
        try:
            family, *_, place = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.connect(place)  # UDP: nothing is sent
                found = str(way.getsockname()[0])
        except OSError:
            continue
        if not ipaddress.ip_address(found).is_loopback:
            return found
    return ""
