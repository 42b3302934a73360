"""What an annotator does, from signing in to the mask on the screen, with the real model behind a real Label Studio."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from label_studio_sdk.converter import brush
from playwright.sync_api import Page
from samstudio import samples, ssrf

from tools.tests import backend, label_studio, servers
from tools.tests.browser import editor
from tools.tests.commands import run

pytestmark = pytest.mark.browser


@dataclass
class Pair:
    studio: label_studio.RunningLabelStudio
    project: int
    scene: samples.Scene
    task: int


@pytest.fixture(scope="module")
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
            yield Pair(studio, project, scene, click["task"])


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


def test_click_shows_the_mask_and_accepting_it_makes_a_region(pair: Pair, page: Page, tmp_path: Path) -> None:
    shape = pair.scene.shapes[0]
    x, y = shape.click[0] / samples.WIDTH, shape.click[1] / samples.HEIGHT

    editor.open_task(page, pair.studio.url, pair.project, pair.task)
    editor.select_label(page, "object")
    answer = editor.click_image(page, x, y)
    assert "errors" not in answer, answer
    page.wait_for_function(f"Array.from({editor.SELECTED}.suggestions.values()).length > 0")
    editor.accept_suggestions(page)
    page.wait_for_function(f"Array.from({editor.SELECTED}.regions.values()).length > 0")
    shown = Path(os.environ.get("SAMSTUDIO_TEST_SCREENSHOT") or tmp_path / "click.png")
    editor.screenshot(page, shown)

    masks = [region for region in editor.serialized(page) if region["type"] == "brush"]
    assert len(masks) == 1
    rgba = np.array(brush.decode_rle(masks[0]["value"]["rle"])).reshape(samples.HEIGHT, samples.WIDTH, 4)
    assert samples.iou(rgba[..., 3] > 0, samples.mask(shape)) >= 0.8


def test_instructions_say_what_a_click_without_a_mask_means(pair: Pair, page: Page) -> None:
    editor.open_task(page, pair.studio.url, pair.project, pair.task)
    page.get_by_role("button", name="Instructions", exact=True).click()
    shown = page.get_by_text("The model could not answer")
    shown.wait_for()
    assert "samstudio doctor" in shown.inner_text()
