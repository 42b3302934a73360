"""An annotator's desk: an open task in the editor, clicks on it, and screenshots of it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from label_studio_sdk.converter import brush
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, ViewportSize

from docs.make import scenes
from docs.make.studio import Pair, Project
from tools.tests.browser import editor

#: As wide as lets the picture fill the editor beside the panel of regions.
VIEW: ViewportSize = {"width": 1260, "height": 760}
#: The editor alone: without the bar above it and the panel beside it.
EDITOR = (0, 48, 940, 760)
#: What the table takes on the left.
TABLE = 240
ACCEPT = "[data-testid=bottombar-accept-suggestions-button]"
TOGGLE = "[data-testid=bottombar-auto-annotation-toggle]"
SMART_TOOL = ".lsf-tool_smart"
Point = tuple[float, float]


@dataclass
class Click:
    """What a click gave: the mask, its overlap with the object that was meant, and how long the request took."""

    mask: NDArray[np.bool_]
    milliseconds: int

    def iou(self, drawn: NDArray[np.bool_]) -> float:
        return float((self.mask & drawn).sum() / (self.mask | drawn).sum())


@dataclass
class Desk:
    page: Page
    project: Project

    def shot(self) -> Image.Image:
        self.page.wait_for_timeout(250)
        return Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")

    def at(self, spot: Point) -> Point:
        """Where a pixel of the scene is on the page."""
        canvas = self.page.locator("canvas").first.bounding_box()
        frame = self.page.evaluate(
            f"(() => {{ const o = {editor.SELECTED}.objects[0];"
            " return {x: o.zoomingPositionX || 0, y: o.zoomingPositionY || 0, w: o.stageWidth, h: o.stageHeight}; })()"
        )
        assert canvas is not None
        x, y = spot[0] / scenes.WIDTH, spot[1] / scenes.HEIGHT
        return canvas["x"] + frame["x"] + x * frame["w"], canvas["y"] + frame["y"] + y * frame["h"]

    def middle(self, selector: str) -> Point:
        box = self.page.locator(selector).first.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def around(self, corners: tuple[Point, Point]) -> tuple[int, int, int, int]:
        """Two opposite corners in the scene, as a box of the page."""
        (left, top), (right, bottom) = (self.at(corner) for corner in corners)
        return round(left), round(top), round(right), round(bottom)

    def press(self, spot: Point, *, key: str = "") -> None:
        """Click a pixel of the scene, with a key held down."""
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.at(spot))
        if key:
            self.page.keyboard.up(key)

    def click(self, spot: Point, *, key: str = "") -> Click:
        with self.page.expect_response(lambda response: "/interactive-annotating" in response.url) as answered:
            self.press(spot, key=key)
        return self._shown(answered.value)

    def drag(self, corner: Point, other: Point) -> Click:
        """Drag a box."""
        with self.page.expect_response(lambda response: "/interactive-annotating" in response.url) as answered:
            self.page.mouse.move(*self.at(corner))
            self.page.mouse.down()
            self.page.mouse.move(*self.at(((corner[0] + other[0]) / 2, (corner[1] + other[1]) / 2)))
            self.page.mouse.move(*self.at(other))
            self.page.mouse.up()
        return self._shown(answered.value)

    def accept(self) -> None:
        self.page.click(ACCEPT)
        self.page.wait_for_function(f"Array.from({editor.SELECTED}.suggestions.values()).length === 0")

    def _shown(self, response: Any) -> Click:
        answer = response.json()
        assert "errors" not in answer, answer
        (item,) = [item for item in answer["data"]["result"] if item["type"] == "brush"]
        pixels = np.array(brush.decode_rle(item["value"]["rle"])).reshape(scenes.HEIGHT, scenes.WIDTH, 4)
        self.page.wait_for_function(f"Array.from({editor.SELECTED}.suggestions.values()).length > 0")
        timing = response.request.timing
        return Click(pixels[..., 3] > 0, round(timing["responseEnd"] - timing["requestStart"]))


@contextlib.contextmanager
def opened(pair: Pair, project: Project, *, first_time: bool = False, annotated: bool = False) -> Iterator[Desk]:
    """Open a project's task, with Auto-Annotation on and the smart tool taken, unless it is the first time.

    annotated: the task is opened from the table, beside which the editor then is; else as the next one to label.
    """
    with editor.browser_page() as page:
        page.set_viewport_size({**VIEW, "width": VIEW["width"] + TABLE} if annotated else VIEW)
        editor.sign_in(page, pair.studio.url, pair.studio.email, pair.studio.password)
        for key, value in ({} if first_time else editor.REMEMBERED).items():
            page.add_init_script(f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)})")
        wanted = f"task={project.task}" if annotated else "labeling=1"
        page.goto(f"{pair.studio.url}/projects/{project.number}/data?{wanted}")
        image = f"{editor.SELECTED}.objects[0]"
        page.wait_for_function(f"window.Htx && {editor.SELECTED} && {image} && {image}.naturalWidth > 1")
        page.wait_for_timeout(1500)
        yield Desk(page, project)
