"""The page at /ui in a real Chromium: samples, clicks, a box, the mask under the mouse, keys, a dropped file."""

from __future__ import annotations

import base64
import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_host import picture
from PIL import Image
from running import Running, iou
from sam2_backend.http.page.routes import FOLDER, SAMPLES
from sam2_backend.serving.claim import Claim, Urgency
from sam2_backend.serving.device import DeviceThread

from docs.make import scenes

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CELLS = scenes.cells()
#: A cell whose mask one click finds, and the same place as shares of the picture.
CELL = 6
AT = (CELLS.clicks[CELL - 1][0] / scenes.WIDTH, CELLS.clicks[CELL - 1][1] / scenes.HEIGHT)
browser = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium(demo_server: Running) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(demo_server: Running, chromium: Any) -> Iterator[playwright.Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    # Chromium itself puts the 422 of the bad file on the console.
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.goto(f"{demo_server.url}/ui")
    yield page
    page.close()
    assert [problem for problem in problems if "status of 422" not in problem] == []


@pytest.fixture
def cells(page: playwright.Page) -> playwright.Page:
    """The page with the cells opened."""
    page.click("#samples button >> nth=0")
    answer(page, "1024×768, ready after")
    return page


def answer(page: playwright.Page, pattern: str) -> None:
    playwright.expect(page.locator("#answer")).to_have_text(re.compile(pattern), timeout=60_000)


def shown(page: playwright.Page, layer: str = "mask") -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The pixels that a layer covers, in the size of the scenes."""
    playwright.expect(page.locator(f"#{layer}")).to_have_attribute("src", re.compile("^blob:"))
    url = page.evaluate(
        """async ([layer, width, height]) => {
          const picture = document.getElementById(layer);
          await picture.decode();
          const canvas = Object.assign(document.createElement('canvas'), {width, height});
          canvas.getContext('2d').drawImage(picture, 0, 0, width, height);
          return canvas.toDataURL();
        }""",
        [layer, scenes.WIDTH, scenes.HEIGHT],
    )
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    covered: np.ndarray[Any, np.dtype[np.bool_]] = np.asarray(image.convert("RGBA"))[..., 3] > 0
    return covered


def on_page(page: playwright.Page, x: float, y: float) -> tuple[float, float]:
    box = page.locator("#picture").bounding_box()
    assert box
    return box["x"] + box["width"] * x, box["y"] + box["height"] * y


@pytest.mark.parametrize("draw", scenes.SCENES)
def test_the_samples_are_the_drawn_scenes(draw: Callable[[], scenes.Scene]) -> None:
    scene = draw()
    name = scene.name.removesuffix(".png")
    assert name in SAMPLES
    with Image.open(FOLDER / "samples" / f"{name}.jpg") as sample:
        difference = np.abs(np.asarray(sample, np.int16) - np.asarray(scene.image, np.int16))
    assert difference.mean() < 6, "run: python -m docs.make.samples"


@browser
def test_sample_click_negative_box_clear(cells: playwright.Page) -> None:
    playwright.expect(cells.locator("#model")).to_contain_text("openvino")
    playwright.expect(cells.locator("#model")).to_contain_text("demo model")
    cells.mouse.click(*on_page(cells, *AT))
    answer(cells, r"Score \d\.\d\d after \d+ ms")
    assert iou(shown(cells), CELLS.mask(CELL)) > 0.9
    cells.locator("#canvas").click(position={"x": 5, "y": 5}, modifiers=["Alt"])
    playwright.expect(cells.locator("#marks .negative")).to_have_count(1)
    playwright.expect(cells.locator("#timed")).to_contain_text("click 2")
    cells.click("#clear")
    playwright.expect(cells.locator("#marks *")).to_have_count(0)
    inside = np.argwhere(CELLS.mask(CELL))
    (top, left), (bottom, right) = inside.min(0), inside.max(0)
    cells.mouse.move(*on_page(cells, left / scenes.WIDTH, top / scenes.HEIGHT))
    cells.mouse.down()
    cells.mouse.move(*on_page(cells, 0.5, 0.5))
    playwright.expect(cells.locator("#marks rect")).to_have_count(1)
    cells.mouse.move(*on_page(cells, right / scenes.WIDTH, bottom / scenes.HEIGHT))
    cells.mouse.up()
    answer(cells, "Score")
    assert iou(shown(cells), CELLS.mask(CELL)) > 0.9


@browser
def test_score_cache_and_each_steps_time_are_shown(cells: playwright.Page) -> None:
    playwright.expect(cells.locator("#cache")).to_have_text(re.compile(r"\d+ images? \(\d+ MB\) in memory, .* on disk"))
    playwright.expect(cells.locator("#embedding")).to_have_text(re.compile("was in memory|was on disk|made just now"))
    cells.mouse.click(*on_page(cells, *AT))
    playwright.expect(cells.locator("#timed")).to_contain_text("this click")
    playwright.expect(cells.locator("#score")).to_have_text(re.compile(r"0\.\d\d"))
    steps = {row.partition("\t")[0]: row.split("\t")[1] for row in cells.locator("#steps").inner_text().splitlines()}
    assert list(steps) == ["mask decoder", "draw the mask", "waiting and the rest", "network", "together"]
    assert all(re.fullmatch(r"[\d.]+ ms", took) for took in steps.values())
    took = [float(each.removesuffix(" ms")) for each in steps.values()]
    assert sum(took[:-1]) == pytest.approx(took[-1], abs=3)


@browser
def test_the_mask_under_the_mouse_is_shown_until_a_click(cells: playwright.Page) -> None:
    cells.mouse.move(*on_page(cells, *AT))
    assert iou(shown(cells, "preview"), CELLS.mask(CELL)) > 0.9
    playwright.expect(cells.locator("#marks *")).to_have_count(0)
    cells.mouse.click(*on_page(cells, *AT))
    answer(cells, "Score")
    assert not cells.locator("#preview").get_attribute("src")
    cells.mouse.move(*on_page(cells, 0.2, 0.2))
    cells.wait_for_timeout(300)
    assert not cells.locator("#preview").get_attribute("src")
    cells.keyboard.press("Escape")
    cells.uncheck("#previewing")
    cells.mouse.move(*on_page(cells, *AT))
    cells.wait_for_timeout(300)
    assert not cells.locator("#preview").get_attribute("src")


@browser
def test_of_many_places_under_the_mouse_the_newest_is_asked_for(cells: playwright.Page) -> None:
    """And never two at once, however slow the answers are."""
    asked: list[dict[str, Any]] = []
    held: list[Any] = []
    cells.route("**/ui/preview", lambda route: (asked.append(route.request.post_data_json), held.append(route)))
    for share in range(20):
        cells.mouse.move(*on_page(cells, 0.1 + share / 50, 0.3))
    cells.mouse.move(*on_page(cells, *AT))
    cells.wait_for_timeout(300)
    assert len(asked) == 1
    for _ in range(2):
        with cells.expect_response("**/ui/preview"):
            while not held:
                cells.wait_for_timeout(50)
            held.pop().continue_()
    assert iou(shown(cells, "preview"), CELLS.mask(CELL)) > 0.9
    first, newest = (each["result"][0]["value"] for each in asked)
    assert first["x"] == pytest.approx(10, abs=0.5)
    assert (newest["x"], newest["y"]) == pytest.approx((100 * AT[0], 100 * AT[1]), abs=0.5)


@browser
def test_keys_undo_clear_move_a_cross_and_take_another_image(cells: playwright.Page) -> None:
    cells.keyboard.press("z")  # nothing to undo
    cells.mouse.click(*on_page(cells, *AT))
    answer(cells, "Score")
    one = shown(cells)
    cells.mouse.click(*on_page(cells, 0.4, 0.6))
    playwright.expect(cells.locator("#timed")).to_contain_text("click 2")
    two = shown(cells)
    assert iou(one, two) < 0.9
    cells.keyboard.press("z")
    playwright.expect(cells.locator("#marks circle")).to_have_count(1)
    playwright.expect(cells.locator("#timed")).to_contain_text("this click")
    assert (shown(cells) == one).all()
    cells.keyboard.press("Escape")
    playwright.expect(cells.locator("#marks circle")).to_have_count(0)
    playwright.expect(cells.locator("#undo")).to_be_disabled()
    assert not cells.locator("#mask").get_attribute("src")

    cells.locator("#canvas").focus()
    for _ in range(3):
        cells.keyboard.press("ArrowLeft")
    cells.keyboard.press("Shift+ArrowUp")
    cells.keyboard.press("Enter")
    place = cells.locator("#marks circle")
    assert (place.get_attribute("cx"), place.get_attribute("cy")) == ("48%", "45%")
    answer(cells, "Score")
    cells.keyboard.press("Alt+Enter")
    playwright.expect(cells.locator("#marks .negative")).to_have_count(1)

    cells.keyboard.press("2")
    playwright.expect(cells.locator("#timed")).to_contain_text("the image")
    playwright.expect(cells.locator("#marks circle")).to_have_count(0)


@browser
def test_what_does_not_belong_to_an_object_needs_an_object(cells: playwright.Page) -> None:
    cells.locator("#canvas").click(position={"x": 50, "y": 50}, button="right")
    answer(cells, "Click the object first")
    playwright.expect(cells.locator("#marks circle")).to_have_count(0)


@browser
def test_a_file_and_a_file_that_is_no_image(page: playwright.Page, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(picture(size=(300, 200)))
    page.set_input_files("#file", tmp_path / "good.png")
    answer(page, "300×200, ready")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    page.set_input_files("#file", tmp_path / "bad.png")
    answer(page, "not an image that can be read")


def test_the_cache_is_told_and_a_preview_is_no_click(server: Running) -> None:
    png = picture((10, 90, 200))
    first, again = (server.post("/ui/image", data=png).json() for _ in range(2))
    assert (first["cache"], again["cache"]) == ("miss", "memory")
    asked = {"image": first["image"], "result": [{"id": "1", "type": "keypoint", "value": {"x": 50, "y": 50}}]}
    preview, mask = server.post("/ui/preview", asked), server.post("/ui/mask", asked)
    assert preview.content == mask.content
    for response in (preview, mask):
        assert response.headers["X-Cache"] == "memory"
        assert float(response.headers["X-Score"]) > 0
        assert re.fullmatch(
            r"decode_prompt;dur=[\d.]+, render;dur=[\d.]+, total;dur=[\d.]+", response.headers["Server-Timing"]
        )
    gone = server.post("/ui/preview", {**asked, "image": "0" * 64})
    assert gone.status_code == 410


def test_everybodys_clicks_go_before_what_a_click_would_give() -> None:
    may_go, order = threading.Event(), []
    thread = DeviceThread("decode", lambda jobs: [job() for job in jobs])
    busy = thread.submit(lambda: may_go.wait(10), Claim(Urgency.CLICK))
    jobs = [
        thread.submit(lambda name=name: order.append(name), Claim(urgency))
        for name, urgency in (("preview", Urgency.PREVIEW), ("click", Urgency.CLICK), ("opened", Urgency.OPENED))
    ]
    may_go.set()
    for job in (busy, *jobs):
        job.result(10)
    thread.close()
    assert order == ["click", "preview", "opened"]


def test_ui_can_be_switched_off(start_server: object) -> None:
    server = start_server(UI="false")  # type: ignore[operator]
    assert server.get("/ui").status_code == 404
    assert server.get("/health").status_code == 200


@browser
def test_a_running_job_is_shown(demo_server: Running, page: playwright.Page) -> None:
    told = {"name": "masks-3-0123abcd", "total": 300, "done": 118, "failed": 2, "rate": 2.0}
    asked = {"project": "1", "label_config": "<View/>", "tasks": []}
    playwright.expect(page.locator("#model")).to_contain_text("demo")
    playwright.expect(page.locator("#jobs")).to_be_hidden()
    demo_server.post("/masks", {**asked, "job": told})
    page.reload()
    shown = page.locator("#jobs")
    playwright.expect(shown).to_have_text("masks-3-0123abcd: 120 of 300 tasks, 2 failed, 2.0 tasks/s, 2 min left")
    demo_server.post("/masks", {**asked, "job": {**told, "done": 298}})
    playwright.expect(shown).to_be_hidden()


@browser
def test_health_is_drawn_in_a_wide_and_a_narrow_window(page: playwright.Page) -> None:
    """Its style is let in, its curves have a size, and nothing has to be scrolled sideways for."""
    page.click("text=Health")
    playwright.expect(page.locator(".verdict")).to_contain_text("Ready")
    playwright.expect(page.locator("figure h2").first).to_contain_text("Clicks")
    assert page.locator(".verdict").evaluate("element => getComputedStyle(element).borderLeftStyle") == "solid"
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        boxes = [plot.bounding_box() for plot in page.locator(".frame").all()]
        assert len(boxes) == 5
        assert all(box and width / 2 < box["width"] < width and box["height"] > 100 for box in boxes)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("text=Try the model")
    playwright.expect(page.locator("#model")).to_contain_text("demo model")
