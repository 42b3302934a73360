"""Boxes that tasks have already become masks: *Retrieve predictions* of the Data Manager, and /masks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from image_host import ImageHost, picture
from running import SPLIT_CONFIG, Running, brush_mask, iou, labelled_box, labelled_point, labels_config, predict_body
from sam2_backend import jobs

StartServer = Callable[..., Running]
PLAIN = labels_config()
QUOTED = 'red, "ripe" & <whole>'


def disc(x: float, y: float, radius: float) -> np.ndarray[Any, Any]:
    ys, xs = np.mgrid[0:96, 0:128].astype(np.float32) + 0.5
    return np.hypot(xs / 128 - x, ys / 96 - y) < radius


def task(number: int, image: str, *regions: dict[str, Any], predictions: Any = (), **more: Any) -> dict[str, Any]:
    """As Label Studio sends it. regions: of its one annotation."""
    annotations = [{"id": 1, "result": list(regions)}] if regions else []
    return {
        "id": number,
        "data": {"image": image},
        "annotations": annotations,
        "predictions": list(predictions),
        **more,
    }


def retrieve(server: Running, *tasks: dict[str, Any], config: str = PLAIN) -> list[Any]:
    answer = server.post("/predict", predict_body(list(tasks), None, config))
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    return results


def masks(server: Running, *tasks: dict[str, Any], config: str = PLAIN, **asked: Any) -> list[dict[str, Any]]:
    answer = server.post("/masks", {"project": "1", "label_config": config, "tasks": list(tasks), **asked})
    assert answer.status_code == 200, answer.text
    reports: list[dict[str, Any]] = answer.json()["results"]
    return reports


def last_errors(server: Running) -> str:
    return " ".join(str(error["message"]) for error in server.get("/status").json()["last_errors"])


def encodes(server: Running) -> int:
    found = re.search(r'sam2_cache_lookups_total\{outcome="miss"\} (\d+)', server.get("/metrics").text)
    return int(found[1]) if found else 0


def test_retrieve_predictions_answers_with_the_masks_of_the_boxes(server: Running, image_host: ImageHost) -> None:
    first = task(
        1,
        f"{image_host.url}/a.png",
        labelled_box(10, 10, 20, 20, name="one"),
        labelled_box(60, 60, 30, 30, name="two", label="scratch"),
        labelled_point(50, 50, name="three"),
    )
    answer, other, none = retrieve(
        server,
        first,
        task(2, f"{image_host.url}/b.png", labelled_box(40, 40, 20, 20)),
        task(3, f"{image_host.url}/b.png"),
    )
    assert answer["model_version"] == server.post("/setup", {"project": "1.1", "schema": PLAIN}).json()["model_version"]
    assert [item["value"]["brushlabels"] for item in answer["result"]] == [["defect"], ["scratch"], ["defect"]]
    for item, (x, y, radius) in zip(
        answer["result"], [(0.2, 0.2, 0.1), (0.75, 0.75, 0.15), (0.5, 0.5, 0.1)], strict=True
    ):
        assert iou(brush_mask(item), disc(x, y, radius)) > 0.95
    assert len({item["id"] for item in answer["result"]} & {"one", "two", "three"}) == 0
    assert len(other["result"]) == 1
    assert none == []
    assert "2 of 3 tasks of project 1 got masks for their boxes, 1 have no boxes or key points." in last_errors(server)


def test_boxes_of_predictions_count_where_no_annotation_has_any(server: Running, image_host: ImageHost) -> None:
    detector = {"id": 5, "model_version": "detector", "result": [labelled_box(10, 10, 20, 20, label="scratch")]}
    newer = {"id": 6, "model_version": "detector", "result": [labelled_box(60, 60, 30, 30)]}
    skipped = [{"id": 9, "was_cancelled": True, "result": [labelled_box(0, 0, 5, 5)]}]
    both = task(1, f"{image_host.url}/a.png", predictions=[newer, detector], annotations=skipped)
    drawn = task(2, f"{image_host.url}/a.png", labelled_box(40, 40, 20, 20), predictions=[detector])
    of_newer, of_annotation = retrieve(server, both, drawn)
    assert iou(brush_mask(of_newer["result"][0]), disc(0.75, 0.75, 0.15)) > 0.95
    assert iou(brush_mask(of_annotation["result"][0]), disc(0.5, 0.5, 0.1)) > 0.95
    (named,) = masks(
        server, {**both, "predictions": [detector, {**newer, "model_version": "else"}]}, **{"from": "detector"}
    )
    assert named["result"][0]["value"]["brushlabels"] == ["scratch"]
    (of_annotations,) = masks(server, both, **{"from": "annotations"})
    assert (of_annotations["state"], of_annotations["result"]) == ("no boxes", [])


def test_one_task_alone_is_taken_for_one_that_was_opened(server: Running, image_host: ImageHost) -> None:
    assert retrieve(server, task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20))) == [[]]


def test_a_separate_labels_tag_names_the_mask(server: Running, image_host: ImageHost) -> None:
    box = labelled_box(10, 10, 20, 20)
    value = {**box["value"]}
    value.pop("rectanglelabels")
    pair = [
        {**box, "type": "rectangle", "value": value},
        {**box, "from_name": "label", "type": "labels", "value": {**value, "labels": ["scratch"]}},
    ]
    (report,) = masks(server, task(1, f"{image_host.url}/a.png", *pair), config=SPLIT_CONFIG)
    brush, labels = report["result"]
    assert (brush["type"], labels["type"], brush["id"]) == ("brush", "labels", labels["id"])
    assert labels["value"]["labels"] == ["scratch"]


def test_what_is_wrong_with_a_box_is_said_and_the_others_go_on(server: Running, image_host: ImageHost) -> None:
    rotated = labelled_box(10, 10, 20, 20, name="turned", original_width=0)
    rotated["value"]["rotation"] = 30
    unlabelled = labelled_box(30, 30, 10, 10, name="nameless")
    unlabelled["value"]["rectanglelabels"] = []
    broken = labelled_box(1, 1, 1, 1, name="broken")
    broken["value"]["width"] = "wide"
    (report,) = masks(
        server,
        task(
            1,
            f"{image_host.url}/a.png",
            labelled_box(10, 10, 20, 20, name="good"),
            labelled_box(110, 10, 20, 20, name="outside"),
            labelled_box(10, 10, 0, 20, name="flat"),
            labelled_box(10, 10, 20, 20, name="strange", label="tree"),
            labelled_box(10, 10, 20, 20, name="elsewhere", to_name="picture"),
            labelled_box(10, 10, 20, 20, name="unturned", original_width=96, original_height=128),
            labelled_point(50, 130, name="beside"),
            labelled_point(50, 50, name="minus", label="scratch", is_positive=False),
            rotated,
            unlabelled,
            broken,
            {"id": "poly", "type": "polygonlabels", "to_name": "image", "value": {"points": []}},
        ),
    )
    assert (report["state"], report["masks"], len(report["result"])) == ("made", 1, 1)
    assert report["unknown"] == {"tree": 1}
    said = dict(
        re.match(r"(?:Rectangle|Key point|Region) (\w+)[^:]*: (.*)", line).groups() for line in report["problems"]
    )  # type: ignore[union-attr]
    assert said["outside"] == said["beside"] == "it lies outside the image."
    assert said["flat"] == "it has no area."
    assert '<Label value="tree"/>' in said["strange"]
    assert '"picture"' in said["elsewhere"]
    assert said["unturned"] == "it was drawn on an image of 96x128, but the file, upright, is 128x96."
    assert "take it away" in said["minus"]
    assert "original_width" in said["turned"]
    assert said["nameless"] == "it has no label."
    assert 'value["width"]' in said["broken"]
    assert set(said) == {
        *("outside", "flat", "strange", "elsewhere", "unturned", "beside", "minus", "turned", "nameless", "broken")
    }


def test_a_box_over_the_edge_is_cut_off_there(server: Running, image_host: ImageHost) -> None:
    (report,) = masks(server, task(1, f"{image_host.url}/a.png", labelled_box(-10, -10, 30, 30)))
    assert iou(brush_mask(report["result"][0]), disc(0.1, 0.1, 0.1)) > 0.95


def test_a_missing_image_fails_its_task_alone(server: Running, image_host: ImageHost) -> None:
    box = labelled_box(40, 40, 20, 20)
    bad, good, imageless = masks(
        server,
        task(1, f"{image_host.url}/missing.png", box),
        task(2, f"{image_host.url}/a.png", box),
        {**task(3, "", box), "data": {"text": "no image"}},
    )
    assert [each["state"] for each in (bad, good, imageless)] == ["failed", "made", "failed"]
    assert "404" in bad["error"]
    assert "no image" in imageless["error"]
    assert bad["result"] == []
    first, second = retrieve(
        server, task(1, f"{image_host.url}/missing.png", box), task(2, f"{image_host.url}/a.png", box)
    )
    assert (first, len(second["result"])) == ([], 1)
    assert "Task 1:" in last_errors(server)


def test_labels_and_output_are_those_that_were_asked_for(server: Running, image_host: ImageHost) -> None:
    labels = "".join(f'<Label value="{label}"/>' for label in ("defect", "red, &quot;ripe&quot; &amp; &lt;whole&gt;"))
    config = (
        f'<View><Image name="image" value="$image"/><RectangleLabels name="rect" toName="image">{labels}'
        f'</RectangleLabels><BrushLabels name="brush" toName="image">{labels}</BrushLabels>'
        f'<PolygonLabels name="polygon" toName="image">{labels}</PolygonLabels></View>'
    )
    boxes = (labelled_box(10, 10, 20, 20, name="one"), labelled_box(60, 60, 30, 30, name="two", label=QUOTED))
    asked = task(1, f"{image_host.url}/a.png", *boxes)
    (report,) = masks(server, asked, config=config, labels=[QUOTED], to="polygon")
    (item,) = report["result"]
    assert (item["type"], item["value"]["polygonlabels"]) == ("polygonlabels", [QUOTED])
    (default,) = masks(server, asked, config=config)
    assert [item["type"] for item in default["result"]] == ["brushlabels", "brushlabels"]
    (nowhere,) = masks(server, asked, config=config, to="bitmask")
    assert (nowhere["state"], nowhere["unknown"]) == ("failed", {"defect": 1, QUOTED: 1})


def test_a_rectangle_tag_takes_no_mask(server: Running, image_host: ImageHost) -> None:
    config = PLAIN.replace("BrushLabels", "RectangleLabels")
    (report,) = masks(server, task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20)), config=config)
    assert (report["state"], report["unknown"]) == ("failed", {"defect": 1})


def test_a_survey_fetches_no_image(server: Running, image_host: ImageHost) -> None:
    image_host.files["/unseen.png"] = picture((9, 9, 9))
    boxes = labelled_box(10, 10, 20, 20, name="a"), labelled_box(10, 10, 20, 20, name="b", label="tree")
    (report,) = masks(server, task(1, f"{image_host.url}/unseen.png", *boxes), survey=True)
    assert (report["state"], report["boxes"], report["unknown"], report["result"]) == ("left", 2, {"tree": 1}, [])
    assert not image_host.seen("/unseen.png")


@pytest.mark.parametrize("asked", [{"to": "rectangle"}, {"labels": "defect"}, {"from": 3}])
def test_a_wish_that_cannot_be_is_refused(server: Running, asked: dict[str, Any]) -> None:
    answer = server.post("/masks", {"project": "1", "label_config": PLAIN, "tasks": [], **asked})
    assert answer.status_code == 400
    assert next(iter(asked)) in answer.json()["error"]


def test_each_image_is_encoded_once_whatever_its_boxes(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server()
    tasks = []
    for number in range(6):
        image_host.files[f"/many{number}.png"] = picture((number, 100, 200))
        boxes = [labelled_box(8 * n, 10, 7, 20, name=f"b{n}") for n in range(10)]
        tasks.append(task(number, f"{image_host.url}/many{number}.png", *boxes))
    reports = masks(server, *tasks)
    assert [report["masks"] for report in reports] == [10] * 6
    assert encodes(server) == 6
    assert 'sam2_masks_of_boxes_total{outcome="made"} 60.0' in server.get("/metrics").text


def test_how_far_a_job_is_is_shown_as_it_says(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server()
    told = {"name": "masks-3-0123abcd", "total": 10, "done": 3, "failed": 1, "rate": 2.0}
    masks(server, task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20)), job=told)
    assert server.get("/status").json()["jobs"] == [{**told, "left_seconds": 3.0}]
    metrics = server.get("/metrics").text
    for word in ("total", "done", "failed"):
        assert f'sam2_job_tasks{{job="masks-3-0123abcd",tasks="{word}"}} {told[word]:.1f}' in metrics
    for over in ({"done": 9}, {"ended": True}):
        masks(server, job=told)
        masks(server, job={**told, **over})
        assert server.get("/status").json()["jobs"] == []
        assert "sam2_job_tasks{" not in server.get("/metrics").text
    for wrong in ("x", {**told, "name": "a b"}, {**told, "done": -1}, {**told, "rate": None}, {"name": "masks"}):
        answer = server.post("/masks", {"project": "1", "label_config": PLAIN, "tasks": [], "job": wrong})
        assert (answer.status_code, '"job"' in answer.json()["error"]) == (400, True)


def test_a_job_that_says_nothing_any_more_is_forgotten() -> None:
    now = 0.0
    known = jobs.Jobs(clock=lambda: now)
    told = {"total": 10, "done": 0, "failed": 0, "rate": 0}
    for number in range(jobs.MOST + 1):
        known.tell({"name": str(number), **told})
    assert list(known.running()) == [str(number) for number in range(1, jobs.MOST + 1)]
    now = jobs.SILENT_SECONDS
    known.tell({"name": "1", **told})
    assert known.running()["1"].described("1")["left_seconds"] is None
    now += 1
    assert list(known.running()) == ["1"]


def test_what_cannot_be_done_in_time_is_left_and_said(start_server: StartServer, image_host: ImageHost) -> None:
    """An image takes a second to encode; Label Studio waits for two."""
    server = start_server("1.0", PREDICT_SECONDS="2")
    tasks = []
    for number in range(8):
        image_host.files[f"/slow{number}.png"] = picture((number, 50, 50))
        tasks.append(task(number, f"{image_host.url}/slow{number}.png", labelled_box(40, 40, 20, 20)))
    answers = retrieve(server, *tasks)
    made = sum(bool(answer) for answer in answers)
    assert len(answers) == 8
    assert 0 < made < 8
    assert f"{8 - made} were left when 2 s were over: run samstudio masks 1." in last_errors(server)
    reports = masks(server, *tasks, seconds=0.01)
    assert {report["state"] for report in reports} <= {"made", "left"}
    assert "left" in {report["state"] for report in reports}


@contextmanager
def twenty_under_way(server: Running, image_host: ImageHost) -> Iterator[Future[list[dict[str, Any]]]]:
    """A job of twenty images, the first of which is being encoded."""
    tasks = []
    for number in range(20):
        image_host.files[f"/job{number}.png"] = picture((number, 7, 7))
        tasks.append(task(number, f"{image_host.url}/job{number}.png", labelled_box(40, 40, 20, 20)))
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(masks, server, *tasks)
        while not encodes(server):
            time.sleep(0.01)
        yield job


def test_a_click_does_not_wait_for_the_boxes_of_others(start_server: StartServer, image_host: ImageHost) -> None:
    """Twenty images of a job are on their way, each a fifth of a second; a new image is clicked meanwhile."""
    server = start_server("0.2")
    image_host.files["/clicked.png"] = picture((77, 7, 7))
    with twenty_under_way(server, image_host) as job:
        assert server.click(f"{image_host.url}/clicked.png", labelled_point(50, 50), config=PLAIN).status_code == 200
        unfinished = encodes(server)
        assert not job.done()
        assert unfinished < 15
        assert {report["state"] for report in job.result()} == {"made"}
