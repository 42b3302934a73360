"""What the editor's text field does in Chromium, for boxes and for every object, and Retrieve predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page
from samstudio import labeling_configs, samples
from samstudio.labelstudio import LabelStudio, connect, projects
from samstudio.secret_store import API_TOKEN, SecretStore

from tools.tests import boxed_scenes
from tools.tests.browser import editor
from tools.tests.browser.conftest import Pair
from tools.tests.commands import run

pytestmark = pytest.mark.browser
LABELS = ("object", "other")
MASK_TYPES = ("brush", "brushlabels")


@dataclass
class Project:
    """A project as our tools make it, with two tasks. boxes: of each, as the project's labeling config has them."""

    pair: Pair
    http: httpx.Client
    number: int
    tasks: list[int]
    scenes: list[boxed_scenes.Drawn]
    boxes: list[list[dict[str, Any]]]

    def annotate(self, which: int) -> int:
        """Submit the boxes of a task; gives the annotation's number."""
        asked = {"result": self.boxes[which]}
        answer = self.http.post(f"/api/tasks/{self.tasks[which]}/annotations/", json=asked).raise_for_status()
        return int(answer.json()["id"])

    def task(self, which: int) -> dict[str, Any]:
        return dict(self.http.get(f"/api/tasks/{self.tasks[which]}/").raise_for_status().json())

    def exported(self) -> str:
        return self.http.get(f"/api/projects/{self.number}/export", params={"exportType": "JSON"}).text

    def open(self, page: Page, which: int) -> None:
        editor.open_task(page, self.pair.studio.url, self.number, self.tasks[which])


@pytest.fixture(scope="module")
def studio(pair: Pair) -> Iterator[LabelStudio]:
    with connect(pair.studio.url, SecretStore(pair.config / "secrets").read(API_TOKEN)) as studio:
        yield studio


@pytest.fixture
def project(request: pytest.FixtureRequest, pair: Pair, studio: LabelStudio) -> Project:
    name = str(getattr(request, "param", labeling_configs.DEFAULT))
    number = int(projects.create(studio, request.node.name[:50], labeling_configs.read(name)).id or 0)
    scenes = [boxed_scenes.draw(seed) for seed in (1, 2)]
    for position, scene in enumerate(scenes):
        file = {"file": (f"{position}.png", scene.png, "image/png")}
        studio.http.post(f"/api/projects/{number}/import", files=file).raise_for_status()
    run(pair.config, "register", "--project", str(number))
    listed = studio.http.get("/api/tasks", params={"project": number}).raise_for_status().json()["tasks"]
    tasks = sorted(int(task["id"]) for task in listed)
    boxes = [[item for box in scene.boxes for item in _as_drawn(box, name)] for scene in scenes]
    return Project(pair, studio.http, number, tasks, scenes, boxes)


def _as_drawn(box: dict[str, Any], config: str) -> list[dict[str, Any]]:
    """A box of the scene as the editor stores it with one of our configs, called by one of their labels."""
    box = {**box, "origin": "manual"}
    value = {**box["value"]}
    (label,) = value.pop("rectanglelabels")
    called = [LABELS[boxed_scenes.LABELS.index(label)]]
    if config == "tutorial":
        return [{**box, "value": {**value, "rectanglelabels": called}}]
    labels = {**box, "from_name": "label", "type": "labels", "value": {**value, "labels": called}}
    return [{**box, "type": "rectangle", "value": value}, labels]


def check(result: list[dict[str, Any]], scene: boxed_scenes.Drawn, *, boxes: bool = True) -> None:
    """That there is a mask for each object, with its label, the boxes as they were, and nothing else."""
    masks = [item for item in result if item["type"] in MASK_TYPES]
    assert len(masks) == len(scene.truths)
    for mask, truth, box in zip(masks, scene.truths, scene.boxes, strict=True):
        assert samples.iou(boxed_scenes.mask(mask), truth) >= 0.9
        wanted = [LABELS[boxed_scenes.LABELS.index(box["value"]["rectanglelabels"][0])]]
        labels = [
            item["value"].get("labels") or item["value"].get("brushlabels")
            for item in result
            if item["id"] == mask["id"]
        ]
        assert [each for each in labels if each] == [wanted]
    of_masks = {mask["id"] for mask in masks}
    others = {item["id"] for item in result if item["id"] not in of_masks}
    assert others == ({box["id"] for box in scene.boxes} if boxes else set())


def stored(project: Project, which: int) -> list[dict[str, Any]]:
    (annotation,) = project.task(which)["annotations"]
    found: list[dict[str, Any]] = annotation["result"]
    return found


@pytest.mark.parametrize("project", labeling_configs.NAMES, indirect=True)
def test_boxes_typed_accepted_submitted_and_reloaded_are_masks_and_nothing_else(project: Project, page: Page) -> None:
    project.annotate(0)
    project.open(page, 0)
    assert editor.type_line(page, "boxes") == "6 masks, with the labels of the boxes. Accept before you choose a label."
    assert editor.count(page, "suggestions") == 6
    editor.accept_suggestions(page)
    editor.wait_for_regions(page, 12)
    editor.submit(page, "Update")
    check(stored(project, 0), project.scenes[0])
    page.reload()
    page.wait_for_function(f"window.Htx && {editor.SELECTED} && {editor.SELECTED}.objects[0].naturalWidth > 1")
    editor.wait_for_regions(page, 12)
    check(editor.serialized(page), project.scenes[0])
    assert page.locator(".sam2 [data-testid=textarea-region]").count() == 0
    assert "sam2" not in project.exported()
    assert project.task(0)["drafts"] == []
    assert editor.type_line(page, "boxes") == "6 boxes have their masks already."
    assert editor.count(page, "suggestions") == 0


def test_all_typed_with_a_label_accepted_and_submitted_is_every_object_and_nothing_else(
    project: Project, page: Page
) -> None:
    project.open(page, 1)
    assert editor.type_line(page, "all") == "Which label shall they have? Type all object or all other."
    assert editor.type_line(page, "all other").startswith('6 objects with the label "other".')
    assert editor.count(page, "suggestions") == 6
    editor.accept_suggestions(page)
    editor.wait_for_regions(page, 6)
    editor.submit(page, "Submit")
    result = stored(project, 1)
    masks = [boxed_scenes.mask(item) for item in result if item["type"] in MASK_TYPES]
    best = [max(samples.iou(mask, truth) for mask in masks) for truth in project.scenes[1].truths]
    assert len(masks) == 6
    assert np.mean(best) >= 0.9, best
    assert [item["value"]["labels"] for item in result if item["type"] == "labels"] == [["other"]] * 6
    assert len(result) == 12
    assert len({item["id"] for item in result}) == 6
    assert "sam2" not in project.exported()


def test_a_sentence_makes_room_for_what_is_typed_next_and_is_never_stored(project: Project, page: Page) -> None:
    project.annotate(1)
    project.open(page, 0)
    assert "means nothing here" in editor.type_line(page, "cats")
    assert editor.type_line(page, "boxes").startswith("No boxes here.")
    assert editor.serialized(page) == []
    editor.submit(page, "Submit")
    assert stored(project, 0) == []
    project.open(page, 1)
    editor.type_line(page, "boxes")
    editor.submit(page, "Update")  # while six masks are suggested, and nobody accepts them
    assert stored(project, 1) == project.boxes[1]
    assert "sam2" not in project.exported()


def test_what_is_thrown_away_leaves_nothing_and_can_be_had_again(project: Project, page: Page) -> None:
    project.annotate(0)
    project.open(page, 0)
    before = editor.serialized(page)
    for _ in range(2):
        assert editor.type_line(page, "boxes").startswith("6 masks, ")
        page.click("[data-testid=bottombar-reject-suggestions-button]")
        page.wait_for_function(f"Array.from({editor.SELECTED}.suggestions.values()).length === 0")
        assert editor.serialized(page) == before
    editor.type_line(page, "boxes")
    editor.accept_suggestions(page)
    page.evaluate(f"{editor.SELECTED}.history.undo()")
    assert editor.serialized(page) == before


def test_with_a_label_chosen_nothing_can_be_typed(project: Project, page: Page) -> None:
    """The editor would give the chosen label to every mask that is accepted."""
    project.annotate(0)
    project.open(page, 0)
    field = page.locator(".sam2-asks input")
    editor.select_label(page, "other")
    field.wait_for(state="hidden")
    editor.select_label(page, "other")
    field.wait_for(state="visible")
    page.evaluate(f"{editor.SELECTED}.selectArea({editor.SELECTED}.regions[0])")
    field.wait_for(state="hidden")
    page.keyboard.press("Escape")
    field.wait_for(state="visible")


def test_a_label_chosen_before_the_masks_are_accepted_becomes_theirs_until_it_is_undone(
    project: Project, page: Page
) -> None:
    """The editor tells the backend nothing of it, so docs/masks.md does."""
    project.annotate(0)
    project.open(page, 0)
    before = editor.serialized(page)
    editor.type_line(page, "boxes")
    editor.select_label(page, "other")
    editor.accept_suggestions(page)
    editor.wait_for_regions(page, 12)
    labels = [item["value"]["labels"] for item in editor.serialized(page) if item["type"] == "labels"]
    assert labels.count(["other"]) == 9  # three of the boxes are called so
    page.evaluate(f"{editor.SELECTED}.history.undo()")
    assert editor.serialized(page) == before


def test_without_an_answer_the_line_stays_until_it_is_deleted(project: Project, page: Page) -> None:
    project.annotate(0)
    project.open(page, 0)
    before = editor.serialized(page)
    lost = json.dumps({"errors": ["503 Server Error"]})
    page.route("**/interactive-annotating", lambda route: route.fulfill(content_type="application/json", body=lost))
    field = page.locator(".sam2-asks input")
    field.fill("boxes")
    field.press("Enter")
    line = page.locator(editor.SENTENCES)
    line.wait_for()
    for blocked in (".lsf-label", "button:has-text('Update')"):
        style = page.locator(blocked).first.evaluate("element => getComputedStyle(element).pointerEvents")
        assert style == "none", blocked
    line.hover()
    line.get_by_label("Delete Region").click()
    line.wait_for(state="detached")
    assert editor.serialized(page) == before


def test_retrieve_predictions_in_the_data_manager(project: Project, page: Page) -> None:
    for which in (0, 1):
        project.annotate(which)
    page.goto(f"{project.pair.studio.url}/projects/{project.number}/data")
    editor.retrieve_predictions(page).click()
    asks = page.expect_request(lambda request: request.method == "POST" and "retrieve_tasks_predictions" in request.url)
    with asks as asked:
        page.click("button:has-text('OK')")
    response = asked.value.response()
    assert response is not None
    assert response.ok
    for which in (0, 1):
        (prediction,) = project.task(which)["predictions"]
        check(prediction["result"], project.scenes[which], boxes=False)
        assert stored(project, which) == project.boxes[which]
    project.open(page, 0)
    page.wait_for_function("Htx.annotationStore.predictions.length === 1")
    assert page.evaluate("Array.from(Htx.annotationStore.predictions[0].areas.values()).length") == 6


def test_the_field_disturbs_no_click(pair: Pair, page: Page) -> None:
    asked: list[str] = []
    editor.open_task(page, pair.studio.url, pair.project, pair.task)
    assert editor.type_line(page, "boxes").startswith("No boxes here.")
    page.on("request", lambda request: asked.append(request.url) if "/interactive-annotating" in request.url else None)
    editor.select_label(page, "object")
    for shape in pair.scene.shapes[:2]:
        editor.click_image(page, shape.click[0] / samples.WIDTH, shape.click[1] / samples.HEIGHT)
        page.wait_for_function(f"Array.from({editor.SELECTED}.suggestions.values()).length > 0")
        editor.accept_suggestions(page)
        page.wait_for_function(f"Array.from({editor.SELECTED}.suggestions.values()).length === 0")
    page.wait_for_timeout(300)
    assert len(asked) == 2
    result = editor.serialized(page)
    assert sorted(item["type"] for item in result) == ["brush", "brush", "labels", "labels"]
    assert all(item["value"]["labels"] == ["object"] for item in result if item["type"] == "labels")
    assert np.all([item["original_width"] == samples.WIDTH for item in result])
