"""Label Studio's editor as an annotator uses it, driven in headless Chromium."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)
#: What the editor remembers of an annotator who switched Auto-Annotation on and took the smart keypoint tool.
REMEMBERED = {"autoAnnotation": "true", "selected-tool:image": "KeyPointTool-dynamic"}
SELECTED = "Htx.annotationStore.selected"
#: A line that was typed into the text field for SAM 2, or the sentences that took its place.
SENTENCES = ".sam2-asks [data-testid=textarea-region]"


@contextlib.contextmanager
def browser_page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            page = browser.new_context(viewport={"width": 1500, "height": 1000}).new_page()
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()


def sign_in(page: Page, url: str, email: str, password: str) -> None:
    page.goto(f"{url}/user/login/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "/user/login" not in address)


def open_task(page: Page, url: str, project: int, task: int) -> None:
    for key, value in REMEMBERED.items():
        page.add_init_script(f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)})")
    page.goto(f"{url}/projects/{project}/data?task={task}")
    page.wait_for_function(
        f"window.Htx && {SELECTED} && {SELECTED}.objects[0] && {SELECTED}.objects[0].naturalWidth > 1"
    )


def select_label(page: Page, name: str) -> None:
    page.click(f".lsf-label:has-text('{name}')")


def click_image(page: Page, x: float, y: float) -> dict[str, Any]:
    """Click at a fraction of the image's width and height; gives Label Studio's answer to the interactive request."""
    canvas = page.locator("canvas").first.bounding_box()
    assert canvas is not None
    frame = page.evaluate(
        f"(() => {{ const o = {SELECTED}.objects[0];"
        " return {x: o.zoomingPositionX || 0, y: o.zoomingPositionY || 0, w: o.stageWidth, h: o.stageHeight}; })()"
    )
    with page.expect_response(lambda response: "/interactive-annotating" in response.url) as answered:
        page.mouse.click(canvas["x"] + frame["x"] + x * frame["w"], canvas["y"] + frame["y"] + y * frame["h"])
    answer: dict[str, Any] = answered.value.json()
    return answer


def type_line(page: Page, text: str) -> str:
    """Type into the text field for SAM 2 and press Enter; gives what stands there once the answer is there."""
    field, line = page.locator(".sam2-asks input"), page.locator(SENTENCES)
    if line.count():
        line.click()
    with page.expect_response(lambda response: "/interactive-annotating" in response.url):
        field.fill(text)
        field.press("Enter")
    line.locator("br").first.wait_for(state="attached")
    return line.inner_text().strip()


def accept_suggestions(page: Page) -> None:
    page.click("[data-testid=bottombar-accept-suggestions-button]")


def count(page: Page, what: str) -> int:
    """How many `regions` or `suggestions` the open annotation has."""
    return int(page.evaluate(f"Array.from({SELECTED}.{what}.values()).length"))


def wait_for_regions(page: Page, number: int) -> None:
    """On the image, until there are so many."""
    page.wait_for_function(f"{SELECTED}.regions.filter(region => !region.classification).length === {number}")


def retrieve_predictions(page: Page) -> Locator:
    """Select both tasks of the Data Manager that is open, and find the action in its menu."""
    page.get_by_label("Select all rows").check(force=True)
    menu = page.locator("button", has_text=re.compile("^2 Tasks$"))
    menu.wait_for()
    page.wait_for_load_state("networkidle")  # the actions of the menu come in an answer of their own
    menu.click()
    action = page.get_by_text("Retrieve Predictions")
    action.wait_for(timeout=10_000)
    return action


def submit(page: Page, name: str) -> None:
    """name: `Submit`, or `Update` for an annotation that was submitted before."""
    with page.expect_response(lambda response: "/annotations" in response.url and response.request.method != "GET"):
        page.click(f"button:has-text('{name}')")


def serialized(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(f"{SELECTED}.serializeAnnotation()")
    return found


def screenshot(page: Page, path: Path) -> None:
    page.screenshot(path=str(path))
