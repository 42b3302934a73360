"""The whole server with the real OpenVINO engine and the demo model, on drawings it has never seen."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from demo_training.drawings import EASY, Drawing, Target, draw, targets
from image_host import ImageHost, encoded
from PIL import Image
from running import SPLIT_CONFIG, Running, brush_mask, iou, labelled_box, labels_config, point

SIZE = 256
DRAWINGS = 12
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn(image_host: ImageHost) -> list[tuple[str, Drawing, Target]]:
    found = []
    for number in range(DRAWINGS):
        rng = np.random.default_rng(9000 + number)
        drawing = draw(rng, SIZE, EASY)
        path = f"/drawing{number}.png"
        image_host.files[path] = encoded(drawing.image)
        found.append((image_host.url + path, drawing, targets(rng, drawing.labels, 1)[0]))
    return found


def clicked(target: Target) -> list[dict[str, Any]]:
    x, y = (float(number) / SIZE * 100 for number in target.click)
    return point(x, y, original_width=SIZE, original_height=SIZE)


def first_mask(server: Running, image: str, regions: list[dict[str, Any]], config: str) -> np.ndarray[Any, Any]:
    answer = server.click(image, *regions, config=config)
    assert answer.status_code == 200, answer.text
    return brush_mask(answer.json()["results"][0]["result"][0])


def test_a_click_returns_the_shape_that_was_drawn(
    demo_server: Running, drawn: list[tuple[str, Drawing, Target]]
) -> None:
    ious = [
        iou(first_mask(demo_server, image, clicked(prompt), SPLIT_CONFIG), drawing.labels == prompt.label)
        for image, drawing, prompt in drawn
    ]
    assert np.mean(ious) > 0.8, ious


def test_a_box_returns_the_shape_that_was_drawn(demo_server: Running, drawn: list[tuple[str, Drawing, Target]]) -> None:
    ious = []
    for image, drawing, prompt in drawn:
        x0, y0, x1, y1 = (float(number) / SIZE * 100 for number in prompt.box)
        box = labelled_box(x0, y0, x1 - x0, y1 - y0, original_width=SIZE, original_height=SIZE)
        ious.append(iou(first_mask(demo_server, image, [box], labels_config()), drawing.labels == prompt.label))
    assert np.mean(ious) > 0.8, ious


def test_memory_disk_and_fresh_encodes_give_the_same_mask(
    demo_server: Running, drawn: list[tuple[str, Drawing, Target]], image_host: ImageHost
) -> None:
    """The same drawing under another file is encoded anew; its mask is that of the one from the store."""
    image, _, prompt = drawn[0]
    stored = first_mask(demo_server, image, clicked(prompt), SPLIT_CONFIG)
    png = io.BytesIO()
    Image.open(io.BytesIO(image_host.files["/drawing0.png"])).save(png, "PNG", compress_level=0)
    image_host.files["/drawing0-again.png"] = png.getvalue()
    fresh = first_mask(demo_server, f"{image_host.url}/drawing0-again.png", clicked(prompt), SPLIT_CONFIG)
    assert iou(stored, fresh) > 0.999


def test_refining_clicks_do_not_lose_the_object(demo_server: Running, drawn: list[tuple[str, Drawing, Target]]) -> None:
    before, after = [], []
    for image, drawing, prompt in drawn:
        truth = drawing.labels == prompt.label
        regions = clicked(prompt)
        mask = first_mask(demo_server, image, regions, SPLIT_CONFIG)
        before.append(iou(mask, truth))
        wrong = np.argwhere(mask != truth)
        y, x = wrong[len(wrong) // 2]
        regions += point(
            (x + 0.5) / SIZE * 100,
            (y + 0.5) / SIZE * 100,
            positive=bool(truth[y, x]),
            name="second",
            original_width=SIZE,
            original_height=SIZE,
        )
        after.append(iou(first_mask(demo_server, image, regions, SPLIT_CONFIG), truth))
    assert np.mean(after) > np.mean(before) - 0.02, (before, after)


def test_status_says_that_this_is_the_demo_model(demo_server: Running) -> None:
    status = demo_server.get("/status").json()
    assert status["model"]["demo"] is True
    assert len(status["model"]["sha256"]) == 64
    assert status["engine"]["name"] == "openvino"
