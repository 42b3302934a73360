"""Real containers without pulling an image: the host's own userland, read-only, with its Python."""

from __future__ import annotations

import io
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest

FOLDERS = ("/usr", "/lib", "/lib64", "/bin")
PREFIX = "connect-doctor"
#: what each container of the image is started with
OPTIONS: dict[str, Any] = {
    "volumes": [f"{folder}:{folder}:ro" for folder in FOLDERS],
    "environment": {"PATH": "/py:/usr/bin:/bin"},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker engine; these tests fail without one rather than pass unseen."""
    client = docker.from_env(timeout=30)
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient) -> Iterator[str]:
    """An image with `python` and mount points; the rest is the host's, read-only."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in (*FOLDERS, "/py", "/tmp"):
            member = tarfile.TarInfo(folder.strip("/"))
            member.type = tarfile.DIRTYPE
            member.mode = 0o755
            tar.addfile(member)
        link = tarfile.TarInfo("py/python")
        link.type = tarfile.SYMTYPE
        link.linkname = "/usr/bin/python3"
        tar.addfile(link)
    name = f"{PREFIX}:{uuid.uuid4().hex[:8]}"
    subprocess.run(
        ["docker", "import", "-", name], input=content.getvalue(), check=True, capture_output=True, timeout=60
    )
    yield name
    engine.images.remove(name, force=True)
