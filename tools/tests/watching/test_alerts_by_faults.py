"""One fault after another, and each time a real Prometheus with the role's rules raises the alert that it is for.

Real: Prometheus, node exporter, Label Studio, the backend and its clicks, backups, rehearsals, certificates. Stand-ins:
the driver (`nvidia-smi`), the engine of a second backend that refuses a precision, a tmpfs for a disk, what Docker says
of the images' age. No alert waits here, and 0.2 s is slow for a click.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio import base_image, deployment
from samstudio.backup import history
from samstudio.base_image import BaseImage

from tools.tests import backend as real_backend
from tools.tests import servers
from tools.tests.commands import fails, run
from tools.tests.label_studio import RunningLabelStudio
from tools.tests.test_backup_kept import back_up
from tools.tests.test_backup_kept import host as host
from tools.tests.watching import prometheus
from tools.tests.watching.test_monitoring_role import gpus

pytestmark = pytest.mark.integration
SLOW_SECONDS = 0.2
SECOND = Path(__file__).parents[3] / "backend" / "tests" / "server" / "stand_in_server.py"
LISTED = "echo 'GPU 0: NVIDIA L4 (UUID: GPU-11)'"
#: a disk in a mount namespace of the exporter's own
WITH_A_DISK = 'mount -t tmpfs -o size=1m,mode=755 samstudio-test "$0" && exec "$@"'


@contextlib.contextmanager
def started(argv: list[str], log: Path, ready: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it answers there."""
    with log.open("ab") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, **options)
    try:
        servers.wait(ready, process, log, 60)
        yield process
    finally:
        servers.stop(process, seconds=20)


class Road:
    """A road to a server on this machine, on which whatever is asked takes `seconds` longer."""

    def __init__(self, port: int) -> None:
        self.seconds = 0.0
        road = self

        class Relay(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as there:
                    back = threading.Thread(target=road.carry, args=(there, self.request, False), daemon=True)
                    back.start()
                    road.carry(self.request, there, True)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def carry(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(self.seconds if asks else 0)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Watched:
    """A host on which all is well, what looks at it, and how to make it otherwise."""

    def __init__(self, config: Path, figures: Path) -> None:
        self.config, self.figures = config, figures
        #: when the Debian below each image was built
        self.built = datetime.now(timezone.utc)

    def look(self) -> None:
        """As the timer of samstudio-metrics does."""
        run(self.config, "metrics", "--to", str(self.figures / "samstudio.prom"))

    def age(self, kind: history.Kind, days: int) -> None:
        """As if the last good one had ended so long ago."""
        file = history.path(self.config, kind)
        noted = json.loads(file.read_text())
        noted["good"]["ended"] = (datetime.now(timezone.utc) - timedelta(days=days)).isoformat()
        file.write_text(json.dumps(noted))


def certificate(folder: Path, begins: timedelta, ends: timedelta) -> str:
    """PEM of one that openssl made, valid from and until then, from now on."""
    (folder / "index").write_text("")
    settings = f"[ca]\ndefault_ca=x\n[x]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\n"
    (folder / "ca.cnf").write_text(f"{settings}default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    key, request = str(folder / "key.pem"), str(folder / "request.pem")
    made = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-subj", "/CN=x"]
    first, last = (f"{datetime.now(timezone.utc) + each:%Y%m%d%H%M%SZ}" for each in (begins, ends))
    signed = ["ca", "-batch", "-notext", "-selfsign", "-config", str(folder / "ca.cnf"), "-in", request]
    for words in (
        [*made, "-keyout", key, "-out", request],
        [*signed, "-keyfile", key, "-startdate", first, "-enddate", last, "-out", str(folder / "crt.pem")],
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)
    return (folder / "crt.pem").read_text()


@pytest.fixture
def road(model: real_backend.Model) -> Iterator[Road]:
    road = Road(int(model.url.rsplit(":", 1)[1]))
    yield road
    road.close()


@pytest.fixture
def watched(host: Path, deployed: Path, road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Label Studio and backend with a project of drawn objects; beside them a database, backed up and rehearsed."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert host == deployed
    told = yaml.safe_load((host / "deployment.yml").read_text())
    told["label_studio"] |= {"data": str(tmp_path / "var"), "container": "no-such-container"}
    told["backend"] |= {"url": road.url, "internal_url": road.url}
    (host / "deployment.yml").write_text(yaml.safe_dump(told))
    run(host, "samples", "draw")
    run(host, "register")
    back_up(host, tmp_path / "backups")
    run(host, "restore", "--rehearse")
    figures = tmp_path / "figures"
    figures.mkdir()
    (host / deployment.INTERNAL_CA).write_text(certificate(tmp_path, timedelta(), timedelta(days=300)))
    watched = Watched(host, figures)
    monkeypatch.setattr(base_image, "of", lambda name: BaseImage(name, watched.built))
    return watched


@contextlib.contextmanager
def node_exporter(disk: Path, figures: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """It and its address. disk: where a disk of 1 MiB is for it alone."""
    address = f"127.0.0.1:{servers.free_port()}"
    # It looks for the disks of process 1, which are not its own.
    (log.parent / "proc").mkdir()
    (log.parent / "proc" / "1").symlink_to("/proc/self")
    told = ["--collector.disable-defaults", "--collector.filesystem", "--collector.textfile"]
    folders = [f"--path.procfs={log.parent}/proc", f"--collector.textfile.directory={figures}"]
    argv = ["prometheus-node-exporter", *told, *folders]
    own = ["unshare", "--mount", "sh", "-c", WITH_A_DISK, str(disk), *argv, f"--web.listen-address={address}"]
    with started(own, log, f"http://{address}/") as process:
        yield process, address


@contextlib.contextmanager
def second_backend(port: int, folder: Path, *told: str) -> Iterator[None]:
    """The real server with a stand-in engine. told: "slower" for one that refused a precision."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(real_backend.PROJECT / "backend"), "PORT": str(port)}
    argv = [str(real_backend.python()), str(SECOND), "0", *told]
    settings = {**environment, "HOST": "127.0.0.1", "CACHE_DIR": str(folder / "cache")}
    with started(argv, folder / "second.log", f"http://127.0.0.1:{port}/health", env=settings, cwd=SECOND.parent):
        yield


def test_every_fault_raises_its_alert_and_no_other(
    watched: Watched, model: real_backend.Model, road: Road, server: RunningLabelStudio, tmp_path: Path
) -> None:
    disk, port = tmp_path / "disk", servers.free_port()
    disk.mkdir()
    gpus(tmp_path, LISTED, "GPU-11")
    (tmp_path / "gpus.prom").rename(watched.figures / "gpus.prom")
    watched.look()
    with contextlib.ExitStack() as running:
        exporter, address = running.enter_context(node_exporter(disk, watched.figures, tmp_path / "node.log"))
        second = contextlib.ExitStack()
        running.enter_context(second)
        second.enter_context(second_backend(port, tmp_path))
        seen = running.enter_context(prometheus.running(tmp_path, jobs(address, model.url, port, disk), RULES))
        seen.wait_up(3)
        seen.wait_firing()

        road.seconds = SLOW_SECONDS
        watched.look()
        seen.wait_firing("ClickSlow")
        road.seconds = 0
        model.kill()
        seen.wait_firing("ClickSlow", "BackendDown")
        watched.look()
        seen.wait_firing("ClickFailed", "BackendDown")
        server.process.kill()
        watched.look()
        firing = ["ClickFailed", "BackendDown", "LabelStudioDown"]
        seen.wait_firing(*firing)

        for alert, fault in faults(watched, tmp_path, exporter, disk):
            fault()
            firing.append(alert)
            seen.wait_firing(*firing)

        second.close()
        running.enter_context(second_backend(port, tmp_path, "slower"))
        firing.append("SlowerPrecision")
        seen.wait_firing(*firing)

        watched.look()
        old = time.time() - 601
        os.utime(watched.figures / "samstudio.prom", (old, old))
        seen.wait_firing(*firing, "ClickProbeStale")
        exporter.kill()
        seen.wait_firing("BackendDown", "SlowerPrecision", "ClickProbeStale", "ExporterDown")


#: two seconds, in which nobody waits for eight clicks
RULES = prometheus.rules({"ClickSlow": ("> 2", f"> {SLOW_SECONDS}")})


def jobs(node: str, backend: str, second: int, disk: Path) -> list[dict[str, Any]]:
    """As the role's settings have them; of the exporter's disks the one in question, which passes for ext4."""
    of_the_disk = [
        {"source_labels": ["mountpoint"], "regex": f"|{disk}", "action": "keep"},
        {"source_labels": ["fstype"], "regex": "tmpfs", "target_label": "fstype", "replacement": "ext4"},
    ]
    authorized = {"basic_auth": {"username": real_backend.USER, "password": real_backend.PASSWORD}}
    addresses = [backend.removeprefix("http://"), f"127.0.0.1:{second}"]
    return [
        {"job_name": "node", "static_configs": [{"targets": [node]}], "metric_relabel_configs": of_the_disk},
        {"job_name": "sam2_backend", "static_configs": [{"targets": addresses}], **authorized},
    ]


def faults(
    watched: Watched, folder: Path, exporter: subprocess.Popen[bytes], disk: Path
) -> list[tuple[str, Callable[[], object]]]:
    """Each with the alert that it is to raise."""

    def fill_the_disk() -> None:
        # Through the exporter's eyes, for nobody else has the disk.
        Path(f"/proc/{exporter.pid}/root{disk}/full").write_bytes(bytes(1000 << 10))

    def lose_the_gpu() -> None:
        gpus(folder, "exit 9", "GPU-11")
        (folder / "gpus.prom").rename(watched.figures / "gpus.prom")

    def have_a_certificate_that_ends() -> None:
        begins, ends = timedelta(days=-350), timedelta(days=13)
        (watched.config / deployment.INTERNAL_CA).write_text(certificate(folder, begins, ends))
        watched.look()

    def back_up_into_the_data() -> None:
        fails(watched.config, "backup", "--to", str(folder / "var" / "inside"))
        watched.look()

    def rehearse_what_was_damaged() -> None:
        (backup,) = (each for each in (folder / "backups").iterdir() if each.is_dir())
        (backup / "database.sqlite3").write_bytes(b"nothing")
        fails(watched.config, "restore", "--rehearse")
        watched.look()

    def let_three_days_pass() -> None:
        watched.age(history.Kind.BACKUP, days=3)
        watched.look()

    def let_weeks_pass() -> None:
        watched.age(history.Kind.REHEARSAL, days=15)
        watched.look()

    def let_a_month_pass() -> None:
        watched.built -= timedelta(days=31)
        watched.look()

    return [
        ("DiskNearlyFull", fill_the_disk),
        ("GpuGone", lose_the_gpu),
        ("CertificateEnds", have_a_certificate_that_ends),
        ("BackupFailed", back_up_into_the_data),
        ("RehearsalFailed", rehearse_what_was_damaged),
        ("BackupTooOld", let_three_days_pass),
        ("RehearsalTooOld", let_weeks_pass),
        ("BaseImageOld", let_a_month_pass),
    ]
