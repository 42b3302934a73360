"""The balancer in front of a fleet's backends, asked and told through HAProxy's admin socket."""

from __future__ import annotations

import csv
import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from samstudio.deployment import BalancedBackend, Deployment
from samstudio.errors import SamstudioError

#: the proxy in HAProxy's configuration that holds the backends
PROXY = "sam2"
SECONDS = 5.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Server:
    """A backend as the balancer sees it."""

    name: str
    address: str
    #: UP, DOWN, DRAIN (gets no new clicks), MAINT, or on the way to one of them: "UP 1/2"
    state: str
    #: requests in progress
    active: int
    #: requests since the balancer started
    served: int
    #: the GPU that it computes on, as deployment.yml tells; "" on a CPU
    card: str = ""

    @property
    def up(self) -> bool:
        """It answers its health check; whether it gets clicks is `admitted`."""
        return self.state.startswith("UP")

    @property
    def admitted(self) -> bool:
        return not self.state.startswith(("DRAIN", "MAINT"))


@dataclass(frozen=True)
class Balancer:
    """HAProxy's admin socket, which root may use, and what was written down of the backends behind it."""

    socket: Path
    backends: tuple[BalancedBackend, ...] = ()

    def servers(self) -> list[Server]:
        cards = {backend.name: backend.card for backend in self.backends}
        found = servers_of(self._ask(f"show stat {PROXY} 4 -1"))
        return [replace(server, card=cards.get(server.name, "")) for server in found]

    def server(self, name: str) -> Server:
        found = self.servers()
        for server in found:
            if server.name == name:
                return server
        raise SamstudioError(
            f"The balancer knows no backend {name!r}.",
            link="balancer",
            found=", ".join(server.name for server in found) or "no backend",
            expected="a host of the group sam2_hosts",
            command="./samstudio deploy   # without --tags, so that the balancer learns of new hosts",
        )

    def drain(self, name: str, seconds: float) -> bool:
        """Send a backend no new requests and wait for those in progress; whether that changed anything.

        Raises:
            SamstudioError: requests are still in progress after `seconds`.
        """
        changed = self.server(name).admitted
        self._tell(name, "drain")
        self._wait(name, lambda server: server.active == 0, seconds, "its last click to end")
        return changed

    def admit(self, name: str, seconds: float) -> bool:
        """Send a backend requests again and wait until it counts as up; whether that changed anything.

        Raises:
            SamstudioError: it is not up after `seconds`.
        """
        changed = not self.server(name).admitted
        self._tell(name, "ready")
        self._wait(name, lambda server: server.up, seconds, "it to answer /health with 200")
        return changed

    def _wait(self, name: str, good: Callable[[Server], bool], seconds: float, expected: str) -> None:
        end = time.monotonic() + seconds
        while not good(server := self.server(name)):
            if time.monotonic() > end:
                raise SamstudioError(
                    f"Waited {seconds:.0f} s for the backend {name} in vain.",
                    link="balancer",
                    found=f"{server.state}, {server.active} requests in progress",
                    expected=expected,
                    command="samstudio backends list",
                )
            time.sleep(POLL_SECONDS)

    def _tell(self, name: str, state: str) -> None:
        said = self._ask(f"set server {PROXY}/{name} state {state}").strip()
        if said:
            raise SamstudioError(
                f"The balancer did not set {name} to {state}.",
                link="balancer",
                found=said,
                command="samstudio backends list",
            )

    def _ask(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(f"{command}\n".encode())
                answer = bytearray()
                while part := connection.recv(65536):
                    answer += part
        except OSError as error:
            raise SamstudioError(
                "The balancer does not answer.",
                link="balancer",
                found=f"{self.socket}: {error}",
                expected="to run as root on Label Studio's host, beside the container sam2-balancer",
                command="sudo samstudio backends list; docker logs sam2-balancer",
            ) from error
        return answer.decode()


def before(deployment: Deployment) -> Balancer | None:
    """The balancer of a fleet; None where there is one backend without a balancer."""
    settings = deployment.balancer
    return Balancer(Path(settings.socket), settings.backends) if settings.socket else None


def of(deployment: Deployment) -> list[Server]:
    """The backends of a fleet; none where there is one backend without a balancer."""
    balancer = before(deployment)
    return balancer.servers() if balancer else []


def servers_of(answer: str) -> list[Server]:
    """The servers in an answer to `show stat`, a CSV with a header that begins with `# `."""
    rows = csv.DictReader(io.StringIO(answer.removeprefix("# ").strip()))
    return [
        Server(row["svname"], row["addr"], row["status"], int(row["scur"] or 0), int(row["stot"] or 0)) for row in rows
    ]
