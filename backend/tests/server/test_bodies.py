"""What is read of a /predict request: no annotation of the task becomes an object, and nothing else is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from running import SPLIT_CONFIG, point, predict_body
from sam2_backend.http.bodies import read_json, read_predict
from sam2_backend.label_studio.predictions import parse_request
from sam2_backend.problems import Problem
from starlette.requests import Request

ANNOTATIONS = {"annotations": [{"id": 3, "result": point(1, 1)}], "predictions": [{"result": []}], "drafts": []}


def request(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def click(*tasks: dict[str, Any]) -> bytes:
    return orjson.dumps(predict_body(list(tasks), point(40, 40), SPLIT_CONFIG))


def test_a_click_is_read_without_the_task_s_annotations() -> None:
    task = {"id": 1, "data": {"image": "/data/upload/a.png", "text": "é"}}
    body = click({**task, "meta": {}, **ANNOTATIONS})
    read = asyncio.run(read_predict(request(body), 1 << 20))
    assert read["tasks"] == [task]
    whole = parse_request(asyncio.run(read_json(request(body), 1 << 20)))
    asked = parse_request(read)
    assert (asked.project, asked.label_config, asked.result) == (whole.project, whole.label_config, whole.result)
    assert asked.result


def test_several_tasks_keep_everything() -> None:
    tasks = [{"id": number, "data": {"image": "a.png"}, **ANNOTATIONS} for number in (1, 2)]
    assert asyncio.run(read_predict(request(click(*tasks)), 1 << 20))["tasks"] == tasks


@pytest.mark.parametrize("result", [[], [{"type": "textarea", "value": {"text": ["boxes"]}}]])
def test_what_the_text_field_asks_keeps_everything(result: list[dict[str, Any]]) -> None:
    task = {"id": 1, "data": {"image": "a.png"}, **ANNOTATIONS}
    body = orjson.dumps(predict_body([task], result, SPLIT_CONFIG))
    assert asyncio.run(read_predict(request(body), 1 << 20))["tasks"] == [task]


def test_a_negative_point_that_comes_first_keeps_everything() -> None:
    task = {"id": 1, "data": {"image": "a.png"}, **ANNOTATIONS}
    for positive in (True, False):
        body = orjson.dumps(predict_body([task], point(40, 40, positive=positive), SPLIT_CONFIG))
        read = asyncio.run(read_predict(request(body), 1 << 20))
        assert ("annotations" in read["tasks"][0]) is not positive


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b'{"tasks": 3}', b'{"tasks": [3]}', b"{}", b"null"])
def test_what_is_no_request_is_refused_as_ever(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        parse_request(asyncio.run(read_predict(request(body), 1 << 20)))
    assert refused.value.status == 400
