"""A real Label Studio for tests: the wheel's own code under gunicorn, SQLite, a folder of its own.

`SAMSTUDIO_TEST_LABEL_STUDIO` names a virtual environment with `label-studio` and `gunicorn`. Migrations run once a
version; each server starts from a copy of that database.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.tests import servers

VENV_VARIABLE = "SAMSTUDIO_TEST_LABEL_STUDIO"
EMAIL, PASSWORD = "admin@samstudio.local", "correct horse battery staple"
START_SECONDS = 120
#: Label Studio below a test is asked for loopback only; nothing of the developer's environment leaks in.
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")

#: Both guards on and told of no backend: the default since 1.23.1, to be asked for before.
GUARDED = {"ML_BLOCK_LOCAL_IP": "true", "SSRF_PROTECTION_ENABLED": "true"}
CONTAINED = ("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@dataclass
class RunningLabelStudio:
    """A server: `images` is the folder it serves as local files, `log` what it wrote."""

    url: str
    version: str
    folder: Path
    process: subprocess.Popen[bytes]
    email: str = EMAIL
    password: str = PASSWORD

    @property
    def images(self) -> Path:
        return self.folder / "documents" / "images"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")


def venv() -> Path:
    named = os.environ.get(VENV_VARIABLE)
    if not named:
        raise RuntimeError(f"set {VENV_VARIABLE} to a virtual environment with label-studio and gunicorn")
    return Path(named)


def python(environment: Path | None = None) -> Path:
    return (environment or venv()) / "bin" / "python"


@contextlib.contextmanager
def running(
    folder: Path,
    cache: Path,
    *,
    environment: Path | None = None,
    settings: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    public_url: str | None = None,
    contained: bool = False,
) -> Iterator[RunningLabelStudio]:
    """Start a Label Studio and stop it afterwards.

    Args:
        folder: an empty folder for its data.
        cache: where migrated databases are kept between runs.
        environment: a virtual environment other than the one of SAMSTUDIO_TEST_LABEL_STUDIO.
        settings: environment variables, `ML_BLOCK_LOCAL_IP` and its kin among them.
        public_url: LABEL_STUDIO_HOST; its own address unless given.
        contained: in a network of its own, as in a container that publishes its port: localhost is itself.
    """
    environment = environment or venv()
    version, site = installed(environment)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(template(environment, version, cache), folder / "data")
    (folder / "documents" / "images").mkdir(parents=True)
    port = port or servers.free_port(host)
    url = f"http://{host}:{port}"
    variables = {
        **environment_of(folder / "data"),
        "LABEL_STUDIO_HOST": url if public_url is None else public_url,
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(folder / "documents"),
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        **(settings or {}),
    }
    bound = f"unix:{folder / 'socket'}" if contained else f"{host}:{port}"
    argv = [
        *(CONTAINED if contained else ()),
        str(environment / "bin" / "gunicorn"),
        "--chdir",
        f"{site}/label_studio",
        "--pythonpath",
        f"{site}/label_studio",
        "--bind",
        bound,
        "--workers",
        "1",
        "--threads",
        "8",
        "--timeout",
        "0",
        "--graceful-timeout",
        "3",
        "core.wsgi:application",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(argv, env=variables, stdout=log, stderr=log)
    server = RunningLabelStudio(url, version, folder, process)
    published = servers.forwarding((host, port), folder / "socket") if contained else contextlib.nullcontext()
    try:
        with published:
            servers.wait(f"{url}/health/", process, folder / "server.log", START_SECONDS)
            yield server
    finally:
        servers.stop(process, seconds=20)


def installed(environment: Path) -> tuple[str, str]:
    asked = (
        "import importlib.metadata as m, importlib.util as u, json, pathlib;"
        "p = pathlib.Path(u.find_spec('label_studio').submodule_search_locations[0]).parent;"
        "print(json.dumps([m.version('label-studio'), str(p)]))"
    )
    answer = subprocess.run([python(environment), "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    version, site = json.loads(answer.stdout)
    return version, site


def environment_of(data: Path) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "HOME": str(data.parent),
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    }


def template(environment: Path, version: str, cache: Path) -> Path:
    """A migrated database with the admin in it, made once a version."""
    ready = cache / f"label-studio-{version}"
    if ready.exists():
        return ready
    making = cache / f"making-{version}-{os.getpid()}"
    making.mkdir(parents=True)
    credentials = {"LABEL_STUDIO_USERNAME": EMAIL, "LABEL_STUDIO_PASSWORD": PASSWORD}
    made = subprocess.run(
        [environment / "bin" / "label-studio", "init", "-q"],
        env={**environment_of(making), **credentials},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"label-studio init failed:\n{made.stdout[-2000:]}\n{made.stderr[-4000:]}")
    # Another test process may have been faster; then its folder is as good.
    with contextlib.suppress(OSError):
        making.rename(ready)
    return ready
