"""A rotated token reaches the backend that uses it: a real Label Studio, and a real container as the backend."""

from __future__ import annotations

import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import httpx
import pytest
import yaml
from samstudio.secret_store import API_TOKEN, SecretStore
from samstudio.token_delivery import FOLDER

from tools.tests import userland
from tools.tests.commands import fails, run
from tools.tests.label_studio import RunningLabelStudio

pytestmark = pytest.mark.integration

Describe = Callable[..., Path]
#: Reads the token once, when it starts, as the backend does; tells it to everyone, as the backend never would.
BACKEND = """
import http.server, json
token = open("/secrets/label_studio_api_token").read().strip()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "UP", "token": token}).encode())
http.server.HTTPServer(("", 9090), Handler).serve_forever()
"""


@pytest.fixture
def start(engine: docker.DockerClient, image: str) -> Iterator[Callable[[Path], tuple[str, str]]]:
    """Starts the backend with a folder of secrets; gives its name and address."""
    made = []

    def begin(secrets: Path) -> tuple[str, str]:
        name = f"{userland.PREFIX}-token-{uuid.uuid4().hex[:8]}"
        options = {**userland.OPTIONS, "volumes": [*userland.OPTIONS["volumes"], f"{secrets}:/secrets:ro"]}
        container = engine.containers.create(image, ["python", "-c", BACKEND], name=name, init=True, **options)
        made.append(container)
        container.start()
        container.reload()
        (network,) = container.attrs["NetworkSettings"]["Networks"].values()
        return name, str(network["IPAddress"])

    yield begin
    for container in made:
        container.remove(force=True)


def test_a_rotated_token_is_the_backends_too(
    server: RunningLabelStudio, describe: Describe, start: Callable[[Path], tuple[str, str]]
) -> None:
    folder = describe(server, "http://127.0.0.1:9")
    store = SecretStore(folder / "secrets")
    assert run(folder, "token", "ensure")["did"] == [], "no backend has a copy yet"
    first = store.read(API_TOKEN)
    copy = folder / FOLDER / API_TOKEN
    copy.parent.mkdir()
    copy.write_text(first + "\n")
    copy.chmod(0o440)
    name, address = start(copy.parent)
    described = yaml.safe_load(describe(server, f"http://{address}:9090").joinpath("deployment.yml").read_text())
    described["backend"]["container"] = name
    (folder / "deployment.yml").write_text(yaml.safe_dump(described))

    assert run(folder, "token", "rotate", "--check")["changed"]
    assert store.read(API_TOKEN) == first
    rotated = run(folder, "token", "rotate")
    assert rotated["did"] == [f"gave the backend the token and restarted {name}"]
    second = store.read(API_TOKEN)
    assert second != first
    assert httpx.get(f"http://{address}:9090/").json()["token"] == second
    assert stat.S_IMODE(copy.stat().st_mode) == 0o440
    assert run(folder, "token", "ensure") == {
        "changed": False,
        "revoked": 0,
        "reason": "the stored token is valid",
        "did": [],
    }


def test_a_token_that_cannot_reach_its_backend_is_not_rotated(server: RunningLabelStudio, describe: Describe) -> None:
    folder = describe(server, "http://127.0.0.1:9")
    store = SecretStore(folder / "secrets")
    run(folder, "token", "ensure")
    first = store.read(API_TOKEN)
    (folder / FOLDER).mkdir()
    (folder / FOLDER / API_TOKEN).write_text(first)
    described = yaml.safe_load((folder / "deployment.yml").read_text())
    described["backend"]["container"] = f"absent-{uuid.uuid4().hex[:8]}"
    (folder / "deployment.yml").write_text(yaml.safe_dump(described))
    assert "no container" in fails(folder, "token", "rotate")["message"]
    described["balancer"] = {"socket": "/run/haproxy.sock"}
    (folder / "deployment.yml").write_text(yaml.safe_dump(described))
    assert "several backends" in fails(folder, "token", "rotate")["message"]
    assert store.read(API_TOKEN) == first
    assert run(folder, "token", "show")["email"] == server.email
