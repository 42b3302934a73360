"""A deployed host in small: configuration, secrets, a data folder, and Label Studio in a real container on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import yaml
from samstudio.backup.restore import COPIES
from samstudio.secret_store import GENERATED, SecretStore

from tools.tests import label_studio, servers, userland

START_SECONDS = 180
#: In the role it is launch.sh that hands secrets over as variables.
LAUNCH = 'SECRET_KEY=$(cat /secrets/label_studio_secret_key) exec "$@"'
#: Answers as a healthy Label Studio, and tells what it has before it: the tests that kill start it often.
LIGHT = """
import http.server, json, os, sqlite3
data = os.environ["LABEL_STUDIO_BASE_DATA_DIR"]
key = open("/secrets/label_studio_secret_key").read().strip()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        database = sqlite3.connect(f"file:{data}/label_studio.sqlite3?mode=ro", uri=True)
        projects = [each[0] for each in database.execute("SELECT title FROM project ORDER BY id")]
        told = {"status": "UP", "projects": projects, "key": key, "media": sorted(os.listdir(data + "/media"))}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@dataclass
class Host:
    """`config` is its /etc/samstudio, `data` Label Studio's folder; `make` makes a container, as the role does."""

    config: Path
    data: Path
    url: str
    name: str
    engine: docker.DockerClient
    make: Callable[..., Any]

    @property
    def container(self) -> Any:
        """The one that has Label Studio's name."""
        return self.engine.containers.get(self.name)

    @property
    def secrets(self) -> SecretStore:
        return SecretStore(self.config / "secrets")

    def health(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/health/", timeout=10, trust_env=False).raise_for_status().json())

    def wait(self) -> dict[str, Any]:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.health()
            except httpx.HTTPError:
                if time.monotonic() > end:
                    raise RuntimeError(self.container.logs().decode()[-4000:]) from None
                time.sleep(0.2)


@contextlib.contextmanager
def light(folder: Path, cache: Path, engine: docker.DockerClient, image: str) -> Iterator[Host]:
    """A host whose container only answers, of a real Label Studio's folder."""
    with _host(folder, cache, engine, image, ["python3", "-c", LIGHT], {}) as host:
        yield host


@contextlib.contextmanager
def full(
    folder: Path, cache: Path, engine: docker.DockerClient, image: str, environment: Path | None = None
) -> Iterator[Host]:
    """A host with a real Label Studio in its container.

    Args:
        environment: a virtual environment other than the one of SAMSTUDIO_TEST_LABEL_STUDIO.
    """
    serve, mounts = serving(environment or label_studio.venv())
    with _host(folder, cache, engine, image, serve, mounts, environment) as host:
        host.wait()
        yield host


def serving(environment: Path, application: str = "core.wsgi:application") -> tuple[list[str], dict[str, str]]:
    """What a container runs to serve this environment's Label Studio, and the folders that it needs for that."""
    environment = environment.resolve()
    _, site = label_studio.installed(environment)
    serve = [str(environment / "bin" / "python"), "-m", "gunicorn", "--chdir", f"{site}/label_studio"]
    serve += ["--pythonpath", f"{site}/label_studio", "--bind", "0.0.0.0:8000", "--workers", "1", "--threads", "8"]
    serve += ["--timeout", "0", "--graceful-timeout", "3", application]
    python = Path(os.path.realpath(environment / "bin" / "python")).parents[1]
    return serve, {str(environment): str(environment), str(python): str(python)}


@contextlib.contextmanager
def _host(
    folder: Path,
    cache: Path,
    engine: docker.DockerClient,
    image: str,
    argv: Sequence[str],
    mounts: dict[str, str],
    environment: Path | None = None,
) -> Iterator[Host]:
    environment = environment or label_studio.venv()
    version, _ = label_studio.installed(environment)
    data, config = folder / "var" / "label-studio", folder / "etc"
    data.parent.mkdir(parents=True)
    shutil.copytree(label_studio.template(environment, version, cache), data)
    port = servers.free_port()
    name = f"{userland.PREFIX}-studio-{uuid.uuid4().hex[:8]}"
    url = f"http://127.0.0.1:{port}"
    _configure(config, data, url, version, name)
    variables = {
        **{key: value for key, value in label_studio.environment_of(data).items() if key not in label_studio.KEPT},
        **userland.OPTIONS["environment"],
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "LABEL_STUDIO_HOST": url,
        "HOME": "/tmp",
    }

    def make(argv: Sequence[str], mounts: dict[str, str], settings: dict[str, str] | None = None) -> Any:
        return engine.containers.create(
            image,
            ["sh", "-c", LAUNCH, "sh", *argv],
            name=name,
            init=True,
            environment={**variables, **(settings or {})},
            ports={"8000/tcp": ("127.0.0.1", port)},
            volumes=[
                *userland.OPTIONS["volumes"],
                *(f"{source}:{target}:ro" for source, target in mounts.items() if not source.startswith("/usr")),
                f"{data}:{data}",
                f"{config / COPIES}:/secrets:ro",
            ],
        )

    try:
        make(argv, mounts).start()
        host = Host(config, data, url, name, engine, make)
        host.wait()
        yield host
    finally:
        for each in engine.containers.list(all=True, filters={"name": name}):
            each.remove(force=True)


def _configure(config: Path, data: Path, url: str, version: str, container: str) -> None:
    store = SecretStore(config / "secrets")
    store.ensure()
    store.write("label_studio_admin_password", label_studio.PASSWORD)
    copies = config / COPIES
    copies.mkdir()
    for name in GENERATED:
        (copies / name).touch(mode=0o400)
        (copies / name).write_text(store.read(name))
    described = {
        "label_studio": {
            "version": version,
            "container": container,
            "url": url,
            "admin_email": label_studio.EMAIL,
            "data": str(data),
        },
        "images": {"host_root": str(config.parent / "var" / "images")},
    }
    (config / "deployment.yml").write_text(yaml.safe_dump(described))
