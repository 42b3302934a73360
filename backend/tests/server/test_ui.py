"""The page at /ui in a real Chromium: a sample, a click, a negative click, a box, a dropped file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_host import picture
from running import Running

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(demo_server: Running) -> Iterator[playwright.Page]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        # Chromium itself puts the 422 of the bad file on the console.
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.goto(f"{demo_server.url}/ui")
        yield page
        browser.close()
        assert [problem for problem in problems if "status of 422" not in problem] == []


def blue_pixels(page: playwright.Page) -> int:
    """Pixels of the mask layer that are not transparent."""
    page.wait_for_function(
        "document.getElementById('mask').complete && document.getElementById('mask').naturalWidth > 0"
    )
    return int(
        page.evaluate(
            """() => {
              const mask = document.getElementById('mask');
              const canvas = Object.assign(document.createElement('canvas'), {width: 256, height: 256});
              const context = canvas.getContext('2d');
              context.drawImage(mask, 0, 0, 256, 256);
              const alpha = (value, index) => index % 4 === 3 && value > 0;
              return context.getImageData(0, 0, 256, 256).data.filter(alpha).length;
            }"""
        )
    )


def answer(page: playwright.Page, pattern: str) -> None:
    playwright.expect(page.locator("#answer")).to_have_text(re.compile(pattern), timeout=60_000)


def test_sample_click_negative_box_clear(page: playwright.Page) -> None:
    playwright.expect(page.locator("#model")).to_contain_text("openvino")
    playwright.expect(page.locator("#model")).to_contain_text("demo model")
    page.click("#samples button >> nth=1")
    answer(page, "512×512, ready")
    box = page.locator("#picture").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    answer(page, r"Score \d\.\d\d, [\d.]+ ms in the backend")
    one = blue_pixels(page)
    assert one > 0
    page.locator("#canvas").click(position={"x": 5, "y": 5}, modifiers=["Alt"])
    playwright.expect(page.locator("#marks .negative")).to_have_count(1)
    answer(page, "Score")
    page.click("#clear")
    playwright.expect(page.locator("#marks *")).to_have_count(0)
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7)
    page.mouse.up()
    answer(page, "Score")
    playwright.expect(page.locator("#marks rect")).to_have_count(1)
    assert blue_pixels(page) > 0


def test_a_file_and_a_file_that_is_no_image(page: playwright.Page, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(picture(size=(300, 200)))
    page.set_input_files("#file", tmp_path / "good.png")
    answer(page, "300×200, ready")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    page.set_input_files("#file", tmp_path / "bad.png")
    answer(page, "not an image that can be read")


def test_ui_can_be_switched_off(start_server: object) -> None:
    server = start_server(UI="false")  # type: ignore[operator]
    assert server.get("/ui").status_code == 404
    assert server.get("/health").status_code == 200
