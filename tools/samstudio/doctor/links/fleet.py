"""The backends behind a balancer: each one, and its GPU."""

from __future__ import annotations

from samstudio.balancer import Server
from samstudio.causes import Cause
from samstudio.deployment import BalancedBackend
from samstudio.doctor.link import Known, Link, Result, ok, skipped, warning
from samstudio.doctor.pair import Pair
from samstudio.errors import SamstudioError

BALANCER_SILENT = Cause(
    "balancer-silent",
    ("The balancer does not answer",),
    "The balancer does not say which backends it has.",
    "sudo samstudio doctor; docker logs --tail 50 {container}",
)
BACKEND_OUT = Cause(
    "backend-out",
    (),
    "The backend {which} gets no clicks: it does not answer. The others take its share.",
    "on {host}: docker logs --tail 50 {backend_container}; ./samstudio deploy",
)
BACKEND_DRAINED = Cause(
    "backend-drained",
    (),
    "The backend {which} gets no clicks: somebody drained it, or a deploy stopped before it was done.",
    "samstudio backends admit {name}; ./samstudio deploy does it too",
)


def check_backends(pair: Pair, _: Known) -> Result:
    """Each backend of a fleet gets clicks."""
    if pair.balancer is None:
        return skipped("there is one backend")
    try:
        servers = pair.balancer.servers()
    except SamstudioError as error:
        return warning(BALANCER_SILENT, f"{error.message} {error.found}")
    evidence = "; ".join(f"{_which(server)} {server.state}" for server in servers)
    idle = [server for server in servers if not server.up]
    if not idle:
        return ok(evidence)
    server = idle[0]
    cause = BACKEND_OUT if server.admitted else BACKEND_DRAINED
    written = {each.name: each for each in pair.balancer.backends}.get(server.name, BalancedBackend(server.name))
    return warning(
        cause,
        evidence,
        which=_which(server),
        name=server.name,
        host=written.host or server.address,
        backend_container=written.container,
    )


def _which(server: Server) -> str:
    return f"{server.name} on {server.card}" if server.card else server.name


BACKENDS = Link("backends", check_backends, needs=("engine",), causes=(BALANCER_SILENT, BACKEND_OUT, BACKEND_DRAINED))
