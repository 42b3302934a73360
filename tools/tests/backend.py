"""A real SAM2 backend process with the demo model. `SAMSTUDIO_TEST_BACKEND` names its virtual environment."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tools.tests import servers
from tools.tests.label_studio import RunningLabelStudio

VENV_VARIABLE = "SAMSTUDIO_TEST_BACKEND"
USER, PASSWORD = "label-studio", "a password for tests"
START_SECONDS = 240
PROJECT = Path(__file__).parents[2]
HOST = "127.0.0.1"


class Model:
    """A backend beside a Label Studio, which may be killed and started again at the same address."""

    def __init__(self, folder: Path, studio: RunningLabelStudio) -> None:
        self.folder, self._studio = folder, studio
        self._port = servers.free_port(HOST)
        self.url = f"http://{HOST}:{self._port}"
        self.start()

    def start(self) -> None:
        documents, url = self._studio.folder / "documents", self._studio.url
        self.process = start(self.folder, HOST, self._port, documents=documents, studio_url=url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def encodes(self) -> int:
        """Images that were encoded since it started."""
        found = re.search(r'sam2_cache_lookups_total\{outcome="miss"\} (\d+)', self.metrics())
        return int(found[1]) if found else 0

    def metrics(self) -> str:
        return self._get("metrics").text

    def status(self) -> dict[str, Any]:
        return dict(self._get("status").json())

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}/{path}", auth=(USER, PASSWORD), trust_env=False)


def python() -> Path:
    return Path(os.environ[VENV_VARIABLE]) / "bin" / "python"


@contextlib.contextmanager
def running(folder: Path, *, host: str = "127.0.0.1", port: int | None = None, **reaches: Any) -> Iterator[str]:
    """Start a backend as `start` does, give its URL, stop it afterwards."""
    port = port or servers.free_port(host)
    process = start(folder, host, port, **reaches)
    try:
        yield f"http://{host}:{port}"
    finally:
        servers.stop(process, seconds=30)


def start(
    folder: Path,
    host: str,
    port: int,
    *,
    documents: Path | None = None,
    studio_url: str = "",
    token_file: Path | None = None,
) -> subprocess.Popen[bytes]:
    """A backend that is ready. Started again in the same folder, it knows what it knew.

    Args:
        documents: a folder that Label Studio serves and the backend sees as well.
        studio_url: Label Studio's address, and `token_file` a token for it, as a person would give them to the backend.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").touch(mode=0o600)
    (folder / "password").write_text(PASSWORD)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT / "backend"),
        "HOME": str(folder),
        "DEVICE": "cpu",
        "MODEL_CONFIG": "demo",
        "MODEL_CHECKPOINT": "demo",
        "MODEL_DIR": str(folder / "models"),
        "CACHE_DIR": str(folder / "cache"),
        "BASIC_AUTH_USER": USER,
        "BASIC_AUTH_PASS_FILE": str(folder / "password"),
        "LABEL_STUDIO_URL": studio_url,
        "LABEL_STUDIO_API_KEY_FILE": str(token_file or ""),
        "LOCAL_FILES_DOCUMENT_ROOT": str(documents or ""),
        "HOST": host,
        "PORT": str(port),
    }
    with (folder / "backend.log").open("ab") as log:
        process = subprocess.Popen([python(), "-m", "sam2_backend"], env=environment, stdout=log, stderr=log)
    try:
        servers.wait(f"http://{host}:{port}/health", process, folder / "backend.log", START_SECONDS)
    except BaseException:
        servers.stop(process, seconds=30)
        raise
    return process
