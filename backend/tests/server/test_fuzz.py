"""Whatever JSON arrives, the server answers with JSON and stays up; nothing is a 500."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_host import ImageHost
from running import SPLIT_CONFIG, Running, labelled_box, labelled_point, labels_config, point, predict_body
from test_mask_input import OUTPUTS, box, there

EXAMPLES = 100
REMOVED = object()
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
numbers = st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False) | json_values
values = st.fixed_dictionaries(
    {},
    optional={
        "x": numbers,
        "y": numbers,
        "width": numbers,
        "height": numbers,
        "rotation": numbers,
        "labels": st.lists(st.sampled_from(["defect", "scratch", "unknown"]) | json_values, max_size=3),
        "keypointlabels": st.just(["defect"]) | json_values,
        "rectanglelabels": st.just(["defect"]) | json_values,
        "points": st.lists(st.tuples(numbers, numbers), max_size=5) | json_values,
        "rle": st.lists(st.integers(0, 255), max_size=20) | json_values,
        "imageDataURL": st.just("data:image/png;base64,iVBORw0KGgo=") | json_values,
    },
)
prompts = ["keypoint", "keypointlabels", "rectangle", "rectanglelabels", "labels", "ellipse"]
kinds = st.sampled_from([*prompts, "brush", "bitmask", "polygon", "polygonlabels"]) | json_values
regions = st.fixed_dictionaries(
    {"type": kinds, "value": values | json_values},
    optional={
        "id": st.sampled_from(["a", "b", "c"]) | json_values,
        "to_name": st.sampled_from(["image", "other"]) | json_values,
        "from_name": json_values,
        "is_positive": st.booleans() | json_values,
        "original_width": st.sampled_from([128, 96, 1 << 30, -1]) | json_values,
        "original_height": st.sampled_from([96, 128, 1 << 30, 0]) | json_values,
        "image_rotation": numbers,
        "item_index": st.integers(-3, 3) | json_values,
    },
)
configs = st.sampled_from([SPLIT_CONFIG, labels_config(), labels_config("PolygonLabels"), "<View>", ""]) | json_values


def check(answer: requests.Response) -> None:
    assert answer.status_code < 500 or answer.status_code in (502, 503), (answer.status_code, answer.text)
    assert isinstance(answer.json(), dict)
    if answer.status_code >= 400:
        assert answer.json()["error"]
        assert answer.reason


fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@fuzz
@given(result=st.lists(regions | json_values, max_size=6), config=configs, data=st.data())
def test_predict(server: Running, image_host: ImageHost, result: list[Any], config: Any, data: st.DataObject) -> None:
    addresses = st.sampled_from([f"{image_host.url}/a.png", f"{image_host.url}/none.png", "/data/upload/1/x.png"])
    task = st.fixed_dictionaries(
        {"data": st.fixed_dictionaries({"image": addresses | json_values}) | json_values},
        optional={
            "id": json_values,
            "drafts": st.lists(st.fixed_dictionaries({"result": st.lists(regions)}), max_size=2),
        },
    )
    tasks = data.draw(st.lists(task | json_values, max_size=3))
    body = {"tasks": tasks, "label_config": config, "project": data.draw(json_values)}
    body["params"] = data.draw(st.just({"context": {"result": result}}) | json_values)
    check(server.post("/predict", body))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value, outermost first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in inner for found in places(child, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON value with another value at a path; REMOVED takes it out."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is REMOVED:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


ODD = (None, True, -1, 1e308, "", "x", [], [1], {}, {"a": [1]}, REMOVED)
CLICKS = (
    (SPLIT_CONFIG, point(40, 40), []),
    (labels_config(), [labelled_point(40, 40)], []),
    (labels_config("PolygonLabels"), [labelled_box(10, 10, 50, 50)], []),
    *(
        (labels_config(tag), [labelled_point(40, 40, is_positive=False)], [there(box(0, 0, 2, 2, 2, 2), kind)])
        for kind, tag in OUTPUTS.items()
    ),
)


@pytest.mark.parametrize(("config", "regions", "drawn"), CLICKS)
def test_a_valid_click_with_one_thing_changed(
    server: Running, image_host: ImageHost, config: str, regions: list[dict[str, Any]], drawn: list[dict[str, Any]]
) -> None:
    task = {"id": 1, "data": {"image": f"{image_host.url}/a.png"}, "annotations": [{"id": 3, "result": regions}]}
    task["drafts"] = [{"id": 4, "result": drawn}]
    body = predict_body([task], regions, config)
    assert server.post("/predict", body).status_code == 200
    for path in places(body)[1:]:
        for odd in ODD:
            check(server.post("/predict", changed(body, path, odd)))


@fuzz
@given(body=st.fixed_dictionaries({"project": json_values, "schema": configs, "hostname": json_values}) | json_values)
def test_setup(server: Running, body: Any) -> None:
    check(server.post("/setup", body))


@fuzz
@given(
    body=st.fixed_dictionaries(
        {"action": st.sampled_from(["TASKS_CREATED", "PROJECT_UPDATED"]) | json_values},
        optional={"tasks": json_values, "project": st.fixed_dictionaries({"id": json_values, "label_config": configs})},
    )
)
def test_webhook_and_prewarm(server: Running, body: Any) -> None:
    check(server.post("/webhook", body))
    check(server.post("/prewarm", body))


@fuzz
@given(body=st.binary(max_size=200))
def test_bytes(server: Running, body: bytes) -> None:
    check(server.post("/predict", data=body))


def test_still_up(server: Running, image_host: ImageHost) -> None:
    assert server.get("/health").json()["status"] == "UP"
    assert not [error for error in server.get("/status").json()["last_errors"] if error["where"] == "server"]
