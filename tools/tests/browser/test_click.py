"""What an annotator does, from signing in to the mask on the screen, with the real model behind a real Label Studio."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from label_studio_sdk.converter import brush
from playwright.sync_api import Page
from samstudio import samples

from tools.tests.browser import editor
from tools.tests.browser.conftest import Pair

pytestmark = pytest.mark.browser


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
