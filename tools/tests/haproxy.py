"""A real HAProxy with the balancer's own configuration, before backends that the tests started."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jinja2
from samstudio import fleet

from tools.tests import servers

ROLE = Path(__file__).parents[2] / "roles" / "backend_balancer"
HOST = "127.0.0.1"
START_SECONDS = 30


@contextlib.contextmanager
def running(
    folder: Path, backends: Mapping[str, str], metrics_port: int = 0, edited: Callable[[str], str] = str
) -> Iterator[tuple[str, Path]]:
    """Start it in an empty folder and stop it afterwards. A configuration that it warns about does not start.

    Args:
        backends: `HOST:PORT` by name.
        metrics_port: where it tells Prometheus of them, 0 for nowhere.
        edited: the configuration as it shall be instead.

    Yields:
        its URL, and its admin socket.
    """
    port, socket = servers.free_port(HOST), folder / "admin.sock"
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"comment": lambda text: f"# {text}", "sam2_ids_on_ring": fleet.ids_on_ring}
    template = environment.from_string((ROLE / "templates" / "haproxy.cfg.j2").read_text())
    config = template.render(
        ansible_managed="A test's.",
        sam2_backend_port=port,
        backend_balancer_health_interval=1,
        backend_balancer_tells=bool(metrics_port),
        monitoring_balancer_port=metrics_port,
        samstudio_tools_backends=[{"name": name, "reached_at": address} for name, address in backends.items()],
    )
    (folder / "haproxy.cfg").write_text(edited(config.replace("/run/balancer/admin.sock", str(socket))))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-db", "-dW", "-f", folder / "haproxy.cfg"], stdout=log, stderr=log)
    try:
        servers.wait(f"http://{HOST}:{port}/health", process, folder / "haproxy.log", START_SECONDS)
        yield f"http://{HOST}:{port}", socket
    finally:
        servers.stop(process, seconds=10)
