"""Whatever JSON arrives, the server answers with JSON and stays up; nothing is a 500."""

from __future__ import annotations

from typing import Any

import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_host import ImageHost
from running import SPLIT_CONFIG, Running, labels_config

EXAMPLES = 100
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
    },
)
kinds = st.sampled_from(["keypoint", "keypointlabels", "rectangle", "rectanglelabels", "labels", "brush"]) | json_values
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
        {"data": st.fixed_dictionaries({"image": addresses | json_values}) | json_values}, optional={"id": json_values}
    )
    tasks = data.draw(st.lists(task | json_values, max_size=3))
    body = {"tasks": tasks, "label_config": config, "project": data.draw(json_values)}
    body["params"] = data.draw(st.just({"context": {"result": result}}) | json_values)
    check(server.post("/predict", body))


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
