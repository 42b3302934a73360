"""Clicks over HTTP with the stand-in engine: prompts in, every kind of result out."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from image_host import ImageHost, picture
from PIL import Image
from running import (
    SPLIT_CONFIG,
    Running,
    brush_mask,
    iou,
    labelled_box,
    labelled_point,
    labels_config,
    point,
    predict_body,
)


def disc(x: float, y: float, radius: float, width: int = 128, height: int = 96) -> np.ndarray[Any, Any]:
    """What the stand-in engine "sees", in fractions of each side."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    return np.hypot(xs / width - x, ys / height - y) < radius


def test_split_config_answers_a_pair_with_one_id(server: Running, image_host: ImageHost) -> None:
    answer = server.click(f"{image_host.url}/a.png", *point(50, 50, label="scratch"))
    assert answer.status_code == 200
    brush, labels = answer.json()["results"][0]["result"]
    assert brush["id"] == labels["id"]
    assert (brush["type"], brush["from_name"]) == ("brush", "brush")
    assert (labels["type"], labels["from_name"]) == ("labels", "label")
    assert "labels" not in brush["value"]
    assert labels["value"]["labels"] == ["scratch"]
    assert brush["value"]["rle"] == labels["value"]["rle"]
    assert iou(brush_mask(brush), disc(0.5, 0.5, 0.1)) > 0.97


def test_labels_config_answers_one_item(server: Running, image_host: ImageHost) -> None:
    answer = server.click(f"{image_host.url}/a.png", labelled_point(25, 75), config=labels_config())
    (item,) = answer.json()["results"][0]["result"]
    assert item["type"] == "brushlabels"
    assert item["value"]["format"] == "rle"
    assert item["value"]["brushlabels"] == ["defect"]
    assert iou(brush_mask(item), disc(0.25, 0.75, 0.1)) > 0.97


def test_the_best_of_three_masks_is_chosen_and_its_score_sent(server: Running, image_host: ImageHost) -> None:
    answer = server.click(f"{image_host.url}/a.png", *point(50, 50)).json()["results"][0]
    assert answer["score"] == pytest.approx(0.9)
    assert answer["result"][0]["score"] == pytest.approx(0.9)
    assert answer["model_version"] == "disc"


@pytest.mark.parametrize("output", ["PolygonLabels", "EllipseLabels", "BitmaskLabels", "BrushLabels"])
def test_every_output_tag_shows_the_same_shape(server: Running, image_host: ImageHost, output: str) -> None:
    answer = server.click(f"{image_host.url}/a.png", labelled_box(30, 30, 40, 40), config=labels_config(output))
    (item,) = answer.json()["results"][0]["result"]
    assert item["type"] == output.lower()
    assert item["value"][output.lower()] == ["defect"]
    assert iou(drawn(item), disc(0.5, 0.5, 0.2)) > 0.95


def test_rectangle_output(server: Running, image_host: ImageHost) -> None:
    labels = '<Label value="defect"/>'
    config = (
        f'<View><Image name="image" value="$image"/><KeyPointLabels name="kp" toName="image" smart="true">{labels}'
        f'</KeyPointLabels><RectangleLabels name="out" toName="image">{labels}</RectangleLabels></View>'
    )
    answer = server.click(f"{image_host.url}/a.png", labelled_point(50, 50), config=config)
    (item,) = answer.json()["results"][0]["result"]
    value = item["value"]
    assert value["rotation"] == 0
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx([40, 40, 20, 20], abs=1.6)


def test_several_boxes_and_labels_are_several_objects(server: Running, image_host: ImageHost) -> None:
    regions = [
        labelled_box(10, 10, 20, 20, name="one"),
        labelled_box(60, 60, 30, 30, name="two"),
        labelled_box(60, 10, 20, 20, name="three", label="scratch"),
    ]
    found = server.click(f"{image_host.url}/a.png", *regions, config=labels_config()).json()["results"][0]["result"]
    assert [item["value"]["brushlabels"] for item in found] == [["defect"], ["defect"], ["scratch"]]
    for item, (x, y, radius) in zip(found, [(0.2, 0.2, 0.1), (0.75, 0.75, 0.15), (0.7, 0.2, 0.1)], strict=True):
        assert iou(brush_mask(item), disc(x, y, radius)) > 0.95


def test_an_added_click_refines_and_an_undone_one_does_not(server: Running, image_host: ImageHost) -> None:
    """The stand-in doubles the radius when it is given logits to refine."""
    image = f"{image_host.url}/a.png"
    first, second = point(50, 50, name="first"), point(50, 50, name="second")

    def area(*regions: Any) -> int:
        found = server.click(image, *regions, task=77).json()["results"][0]["result"]
        return int(brush_mask(found[0]).sum())

    alone = area(*first)
    assert area(*first, *second) == pytest.approx(4 * alone, rel=0.1)
    assert area(*second) == alone
    assert area(*point(50, 50, name="moved"), *second) == alone


def test_negative_points_belong_to_the_object(server: Running, image_host: ImageHost) -> None:
    regions = [*point(50, 50, name="a"), *point(80, 80, name="b", positive=False)]
    found = server.click(f"{image_host.url}/a.png", *regions, task=78).json()["results"][0]["result"]
    assert len(found) == 2
    assert iou(brush_mask(found[0]), disc(0.5, 0.5, 0.1)) > 0.97


def test_batch_of_tasks_with_one_bad_task(server: Running, image_host: ImageHost) -> None:
    tasks = [
        {"id": 1, "data": {"image": f"{image_host.url}/a.png"}},
        {"id": 2, "data": {"image": f"{image_host.url}/missing.png"}},
        {"id": 3, "data": {"image": f"{image_host.url}/b.png"}},
    ]
    answer = server.post("/predict", predict_body(tasks, point(50, 50), SPLIT_CONFIG))
    assert answer.status_code == 200
    good, bad, also_good = answer.json()["results"]
    assert len(good["result"]) == len(also_good["result"]) == 2
    assert bad["result"] == []
    assert "404" in bad["error"]


def test_the_mask_has_the_size_the_editor_shows_with_exif_orientation(server: Running, image_host: ImageHost) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image_host.files["/turned.jpg"] = picture(format="JPEG", size=(128, 96), exif=exif)
    regions = point(50, 50, original_width=96, original_height=128)
    (brush, _) = server.click(f"{image_host.url}/turned.jpg", *regions).json()["results"][0]["result"]
    assert (brush["original_width"], brush["original_height"]) == (96, 128)
    assert brush_mask(brush).shape == (128, 96)
    unturned = server.click(f"{image_host.url}/turned.jpg", *point(50, 50))
    assert unturned.status_code == 409
    assert "128x96" in unturned.reason


def test_image_lists_take_the_item_that_was_clicked(server: Running, image_host: ImageHost) -> None:
    config = SPLIT_CONFIG.replace('value="$image"', 'valueList="$images"')
    task = {"id": 9, "data": {"images": [f"{image_host.url}/missing.png", f"{image_host.url}/b.png"]}}
    body = predict_body([task], point(50, 50, item_index=1), config)
    (brush, _) = server.post("/predict", body).json()["results"][0]["result"]
    assert brush["item_index"] == 1


def test_opening_a_task_is_answered_at_once_and_prepares_the_image(server: Running, image_host: ImageHost) -> None:
    image_host.files["/opened.png"] = picture((1, 2, 3))
    tasks = [{"id": 5, "data": {"image": f"{image_host.url}/opened.png"}}]
    answer = server.post("/predict", predict_body(tasks, None, SPLIT_CONFIG))
    assert answer.json() == {"results": [[]]}
    for _ in range(200):
        if image_host.seen("/opened.png"):
            break
    click = server.click(f"{image_host.url}/opened.png", *point(50, 50))
    assert click.status_code == 200
    assert len(image_host.seen("/opened.png")) == 1


def drawn(item: dict[str, Any], width: int = 128, height: int = 96) -> np.ndarray[Any, Any]:
    """A result item as the editor would fill it: (height, width) bool."""
    value = item["value"]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float64) + 0.5
    if item["type"] == "brushlabels":
        return brush_mask(item)
    if item["type"] == "bitmasklabels":
        png = base64.b64decode(value["imageDataURL"].removeprefix("data:image/png;base64,"))
        return np.asarray(Image.open(io.BytesIO(png)))[:, :, 3] > 0
    if item["type"] == "ellipselabels":
        across, down = value["radiusX"] / 100 * width, value["radiusY"] / 100 * height
        return ((xs - value["x"] / 100 * width) / across) ** 2 + ((ys - value["y"] / 100 * height) / down) ** 2 < 1
    import cv2

    scale = 16
    corners = np.array(value["points"]) / 100 * (width, height) * scale
    canvas = np.zeros((height * scale, width * scale), np.uint8)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 255)
    return canvas[scale // 2 :: scale, scale // 2 :: scale] > 0
