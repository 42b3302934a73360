"""A negative point takes up a mask that is on the screen already; with the demo model where its shape counts."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest
from demo_training.drawings import EASY, draw, targets
from image_host import ImageHost, encoded
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
from sam2_backend.label_studio.mask_input import refining, taken_up
from sam2_backend.label_studio.regions import drawn_objects
from sam2_backend.label_studio.results import rle
from sam2_backend.label_studio.results.reading import coverage

SIZE = 256
DRAWINGS = 12
SIDE = 64
MOST = 10**7
Mask = np.ndarray[Any, Any]
OUTPUTS = {"brush": "BrushLabels", "bitmask": "BitmaskLabels", "polygon": "PolygonLabels"}


def value_of(kind: str, mask: Mask) -> dict[str, Any]:
    """As the editor stores it. mask: (height, width) bool."""
    height, width = mask.shape
    if kind == "brush":
        return {"format": "rle", "rle": list(rle.mask_to_rle(mask))}
    if kind == "bitmask":
        layers = np.dstack([np.zeros((height, width, 3), np.uint8), mask.astype(np.uint8) * 255])
        return {"imageDataURL": "data:image/png;base64," + base64.b64encode(encoded(layers)).decode()}
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea).reshape(-1, 2)
    return {"points": ((outline + 0.5) / (width, height) * 100).tolist(), "closed": True}


def there(
    mask: Mask, kind: str = "brush", *, label: str = "defect", name: str = "there", **more: Any
) -> dict[str, Any]:
    """A region of the open annotation."""
    return {
        "id": name,
        "from_name": "out",
        "to_name": "image",
        "type": f"{kind}labels",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {**value_of(kind, mask), f"{kind}labels": [label]},
        **more,
    }


def box(left: int, top: int, right: int, bottom: int, width: int = 128, height: int = 96) -> Mask:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def less(x: float, y: float, **more: Any) -> dict[str, Any]:
    return labelled_point(x, y, is_positive=False, **more)


def task_with(*drafts: list[Any], **more: Any) -> dict[str, Any]:
    return {"id": 5, "drafts": [{"id": number, "result": result} for number, result in enumerate(drafts)], **more}


def meant(point: dict[str, Any], **task: Any) -> str | None:
    (drawn,) = drawn_objects([point])
    mask = taken_up(task, drawn.first, SIDE, MOST)
    return mask and mask.id


def results(server: Running, image: str, task: dict[str, Any], *clicks: dict[str, Any], config: str) -> Any:
    answer = server.post("/predict", predict_body([{**task, "data": {"image": image}}], list(clicks), config))
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]["result"]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_every_kind_of_mask_is_read(kind: str) -> None:
    ys, xs = np.mgrid[0:96, 0:128]
    mask = np.hypot(xs - 80, ys - 40) < 25
    read = coverage(kind, value_of(kind, mask), (128, 96), SIDE, MOST)
    expected = cv2.resize(mask.astype(np.uint8) * 255, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert iou(read >= 128, expected >= 128) > 0.95


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("polygon", {}),
    ("polygon", {"points": [[1, 1], [2, 2]]}),
    ("polygon", {"points": [[1, 1], [2, 2], [3]]}),
    ("polygon", {"points": [[1, 1], [2, None], [3, 9]]}),
    ("polygon", {"points": [[1, 1], ["x", 2], [3, 9]]}),
    ("polygon", {"points": [[1, 1], [10**400, 2], [3, 9]]}),
    ("polygon", {"points": [[200, 200], [300, 200], [300, 300]]}),
    ("polygon", {"points": [[1, 1], [50, 1], [50, 50]], "closed": False}),
    ("brush", {}),
    ("brush", {"rle": "AAAA"}),
    ("brush", {"rle": [300, -1]}),
    ("brush", {"rle": [0.5]}),
    ("brush", {"rle": 10**12}),
    ("brush", {"rle": list(rle.mask_to_rle(box(0, 0, 9, 9, 64, 64)))}),
    ("brush", {"rle": list(rle.mask_to_rle(box(0, 0, 99, 9)))[:-20]}),
    ("brush", {"rle": list(rle.mask_to_rle(box(0, 0, 0, 0)))}),
    ("bitmask", {}),
    ("bitmask", {"imageDataURL": "data:image/png;base64,%%%"}),
    ("bitmask", {"imageDataURL": "data:image/png;base64,iVBORw0KGgo="}),
    ("bitmask", {"imageDataURL": value_of("bitmask", box(0, 0, 9, 9))["imageDataURL"][:80]}),
    ("bitmask", {"imageDataURL": value_of("bitmask", box(0, 0, 9, 9, 4000, 4000))["imageDataURL"]}),
]


@pytest.mark.parametrize(("kind", "value"), BROKEN)
def test_what_holds_no_mask_is_refused(kind: str, value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        coverage(kind, value, (128, 96), SIDE, MOST)


def test_a_polygon_may_reach_far_outside_and_have_many_points() -> None:
    far = coverage("polygon", {"points": [[-1e300, -1e300], [1e300, -1e300], [50, 50]]}, (0, 0), SIDE, MOST)
    assert far[0, 4:56].all()
    assert not far[-1].any()
    angles = np.linspace(0, 2 * np.pi, 100_000)
    round_one = {"points": (50 + 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).tolist()}
    assert coverage("polygon", round_one, (0, 0), SIDE, MOST).mean() / 255 == pytest.approx(np.pi * 0.04, rel=0.04)


def test_which_mask_a_point_means() -> None:
    large, small, far = box(0, 0, 64, 96), box(10, 10, 30, 30), box(100, 0, 128, 96)
    result = [there(large, name="large"), there(small, name="small"), there(far, name="far", label="scratch")]
    assert meant(less(15, 20), drafts=[{"id": 1, "result": result}]) == "small"
    assert meant(less(40, 80), drafts=[{"id": 1, "result": result}]) == "large"
    assert meant(less(60, 80), drafts=[{"id": 1, "result": result}]) == "large"
    assert meant(less(70, 80), drafts=[{"id": 1, "result": result}]) == "large", "the far one has another label"
    assert meant(less(70, 80, label="scratch"), drafts=[{"id": 1, "result": result}]) == "far"
    unnamed = {**less(75, 80), "value": {"x": 75, "y": 80, "labels": [], "keypointlabels": []}}
    assert meant(unnamed, drafts=[{"id": 1, "result": result}]) == "far"
    assert meant(less(15, 20, item_index=1), drafts=[{"id": 1, "result": result}]) is None
    assert meant(less(15, 20, to_name="other"), drafts=[{"id": 1, "result": result}]) is None


def test_where_masks_are_looked_for() -> None:
    first, second = ([there(box(10, 10, 30, 30), name=name)] for name in ("first", "second"))
    entries = [{"id": 7, "result": second}, {"id": 3, "result": first}]
    assert meant(less(15, 20), drafts=entries, annotations=[{"id": 9, "result": first}]) == "second"
    assert meant(less(15, 20), drafts=[], annotations=entries[1:]) == "first"
    assert meant(less(15, 20), drafts=[], annotations=entries) is None, "nobody says whose is open"
    skipped = [{**entries[0], "was_cancelled": True}, entries[1]]
    assert meant(less(15, 20), drafts=[], annotations=skipped) == "first"
    assert meant(less(15, 20), drafts=[{"id": 1, "result": []}], annotations=entries[1:]) is None
    assert meant(less(15, 20), predictions=entries) is None
    broken = [{**first[0], "value": value} for value in (None, {"brushlabels": ["defect"], "rle": [1]})]
    assert meant(less(15, 20), drafts=[{"id": 1, "result": [*broken, 7, *second]}]) == "second"


def test_what_the_mask_decoder_is_given() -> None:
    mask = box(32, 24, 96, 72)
    clicks = [less(50, 50), labelled_point(90, 10, name="more")]
    (drawn,) = drawn_objects(clicks)
    existing = taken_up(task_with([there(mask)]), drawn.first, SIDE, MOST)
    assert existing is not None
    prompt = refining(existing, drawn)
    assert prompt.labels.tolist() == [2, 3, 1, 0, 1]
    assert prompt.points[[0, 1, 3, 4]] == pytest.approx(np.array([[0.25, 0.25], [0.75, 0.75], [0.5, 0.5], [0.9, 0.1]]))
    inner = prompt.points[2]
    assert (inner > 0.3).all()
    assert (inner < 0.7).all()
    assert np.hypot(*(inner - 0.5)) > 0.1, "the deepest point keeps away from what is taken away"
    assert prompt.logits is not None
    assert prompt.logits.dtype == np.float32
    assert (prompt.logits[20, 30], prompt.logits[0, 0]) == (10, -10)
    assert not prompt.multimask


@pytest.mark.parametrize("kind", OUTPUTS)
def test_the_answer_takes_the_place_of_the_region(server: Running, image_host: ImageHost, kind: str) -> None:
    """The stand-in draws a disc as wide as the box, doubled because it is given logits; another control comes first."""
    extra = '<BrushLabels name="first" toName="image"><Label value="defect"/></BrushLabels></View>'
    config = labels_config(OUTPUTS[kind]).replace("</View>", extra) if kind != "brush" else labels_config()
    task = task_with([there(box(50, 36, 78, 60), kind)])
    (item,) = results(server, f"{image_host.url}/a.png", task, less(10, 10), config=config)
    assert (item["id"], item["type"], item["from_name"]) == ("there", f"{kind}labels", "out")
    assert item["value"][f"{kind}labels"] == ["defect"]
    drawn = coverage(kind, item["value"], (128, 96), SIDE, MOST) >= 128
    assert drawn.any(axis=0).sum() / SIDE == pytest.approx(2 * 28 / 128, abs=0.04)


def test_a_pair_of_tags_keeps_its_id_and_its_label(server: Running, image_host: ImageHost) -> None:
    region = there(box(50, 36, 78, 60), type="brush")
    del region["value"]["brushlabels"]
    named = {**region, "type": "labels", "from_name": "label", "value": {**region["value"], "labels": ["scratch"]}}
    for label in ("scratch", ""):
        clicks = point(10, 10, positive=False, label=label, name=f"of {label}")
        if not label:
            clicks = [{**clicks[0], "value": {**clicks[0]["value"], "labels": []}}]
        brush, labels = results(
            server, f"{image_host.url}/a.png", task_with([region, named]), *clicks, config=SPLIT_CONFIG
        )
        assert brush["id"] == labels["id"] == "there"
        assert labels["value"]["labels"] == ["scratch"]


def test_other_clicks_leave_the_mask_alone(server: Running, image_host: ImageHost) -> None:
    task = task_with([there(box(50, 36, 78, 60))])
    for first in (labelled_point(50, 50), labelled_box(40, 40, 20, 20)):
        clicks = [first, less(10, 10, name="after")]
        (item,) = results(server, f"{image_host.url}/a.png", task, *clicks, config=labels_config())
        assert item["id"] != "there"


@pytest.mark.parametrize(
    ("clicks", "said"),
    [
        ([less(50, 50)], "Only negative points were given, and no mask of their label"),
        ([{**labelled_box(10, 10, 30, 30), "is_positive": False}], "A rectangle cannot be negative"),
    ],
)
def test_what_means_nothing_is_said(server: Running, image_host: ImageHost, clicks: list[Any], said: str) -> None:
    task = task_with([there(box(50, 36, 78, 60), label="scratch")], data={"image": f"{image_host.url}/a.png"})
    answer = server.post("/predict", predict_body([task], clicks, labels_config()))
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def ellipse(side: int) -> Mask:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def deepest(mask: Mask) -> tuple[int, int]:
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OUTPUTS)
def test_one_click_mends_a_rough_mask(demo_server: Running, image_host: ImageHost, kind: str) -> None:
    before, after = [], []
    for number in range(DRAWINGS):
        rng = np.random.default_rng(9000 + number)
        drawing = draw(rng, SIZE, EASY)
        image_host.files[f"/rough{number}.png"] = encoded(drawing.image)
        truth = drawing.labels == targets(rng, drawing.labels, 1)[0].label
        rough = cv2.dilate(truth.astype(np.uint8), ellipse(25)) > 0
        row, column = deepest(rough & ~truth)
        click = less(100 * (column + 0.5) / SIZE, 100 * (row + 0.5) / SIZE, original_width=SIZE, original_height=SIZE)
        task, config = task_with([there(rough, kind)]), labels_config(OUTPUTS[kind])
        (item,) = results(demo_server, f"{image_host.url}/rough{number}.png", task, click, config=config)
        assert item["id"] == "there"
        mended = brush_mask(item) if kind == "brush" else None
        if mended is None:
            mended = coverage(kind, item["value"], (SIZE, SIZE), SIZE, MOST) >= 128
        before.append(iou(rough, truth))
        after.append(iou(mended, truth))
    print(f"{kind}: mean IoU {np.mean(before):.3f} before, {np.mean(after):.3f} after, {np.min(after):.3f} the worst")
    assert np.mean(before) < 0.6
    assert np.mean(after) > (0.9 if kind == "polygon" else 0.95), after  # a ring's hole is in no polygon
