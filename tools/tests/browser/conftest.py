"""Label Studio and the backend, connected by the commands that the roles call, and a page of somebody signed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page
from samstudio import samples, ssrf

from tools.tests import backend, label_studio, servers
from tools.tests.browser import editor
from tools.tests.commands import run


@dataclass
class Pair:
    """config: the folder that tells `samstudio` of both. task: of the project, shows the scene."""

    studio: label_studio.RunningLabelStudio
    config: Path
    project: int
    scene: samples.Scene
    task: int


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path) -> Iterator[Pair]:
    """Label Studio and the backend, connected by the same commands that the roles call."""
    folder = tmp_path_factory.mktemp("pair")
    config = folder / "etc"
    settings = ssrf.narrow_environment(ssrf.KNOWN, ["127.0.0.1"])
    with label_studio.running(folder / "studio", label_studio_cache, settings=settings) as studio:
        port = servers.free_port()
        _describe(config, studio, f"http://127.0.0.1:{port}")
        run(config, "token", "ensure")
        drawn = studio.images / samples.FOLDER
        run(config, "samples", "draw", "--dir", str(drawn))
        with backend.running(
            folder / "backend",
            documents=studio.images.parent,
            studio_url=studio.url,
            token_file=config / "secrets" / "label_studio_api_token",
            port=port,
        ):
            registered = run(config, "register")
            clicked = run(config, "click")
            assert clicked["iou"]["min"] >= 0.8
            project = registered["project"]["id"]
            scene = samples.load(drawn)[0]
            click = next(click for click in clicked["clicks"] if click["image"] == scene.file)
            yield Pair(studio, config, project, scene, click["task"])


def _describe(config: Path, studio: label_studio.RunningLabelStudio, backend_url: str) -> None:
    secrets = config / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    for name, value in {
        "label_studio_admin_password": studio.password,
        "backend_basic_auth_password": backend.PASSWORD,
    }.items():
        (secrets / name).touch(mode=0o600)
        (secrets / name).write_text(value)
    described = {
        "label_studio": {"version": studio.version, "url": studio.url, "admin_email": studio.email},
        "backend": {
            "url": backend_url,
            "internal_url": backend_url,
            "address": "127.0.0.1",
            "basic_auth_user": backend.USER,
        },
        "project": {"title": "Browser"},
        "images": {"host_root": str(studio.images), "container_root": str(studio.images)},
    }
    (config / "deployment.yml").write_text(yaml.safe_dump(described))


@pytest.fixture
def page(pair: Pair) -> Iterator[Page]:
    with editor.browser_page() as page:
        editor.sign_in(page, pair.studio.url, pair.studio.email, pair.studio.password)
        yield page
