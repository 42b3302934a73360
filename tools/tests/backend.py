"""A real SAM2 backend process with the demo model. `SAMSTUDIO_TEST_BACKEND` names its virtual environment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tools.tests import label_studio

VENV_VARIABLE = "SAMSTUDIO_TEST_BACKEND"
USER, PASSWORD = "label-studio", "a password for tests"
START_SECONDS = 240
PROJECT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(
    folder: Path, *, documents: Path, studio_url: str, token_file: Path, port: int | None = None
) -> Iterator[str]:
    """Start a backend that reads images below `documents`, give its URL, stop it afterwards."""
    port = port or label_studio.free_port()
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
        "LABEL_STUDIO_API_KEY_FILE": str(token_file),
        "LOCAL_FILES_DOCUMENT_ROOT": str(documents),
        "PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    python = Path(os.environ[VENV_VARIABLE]) / "bin" / "python"
    with (folder / "backend.log").open("wb") as log:
        process = subprocess.Popen([python, "-m", "sam2_backend"], env=environment, stdout=log, stderr=log)
    try:
        _wait(url, process, folder / "backend.log")
        yield url
    finally:
        label_studio.stop(process, seconds=30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the backend ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.3)
    raise RuntimeError(f"the backend was not ready within {START_SECONDS} s:\n{log.read_text()[-4000:]}")
