"""The editor's text field: what Label Studio sends for what is typed, `boxes` first of all, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from image_host import ImageHost, picture
from running import Running, brush_mask, iou, labelled_box, labels_config, predict_body
from sam2_backend.label_studio.labeling_config import TextField, read
from test_masks import disc, encodes, last_errors, masks, task, twenty_under_way

StartServer = Callable[..., Running]
FIELD = (
    '<TextArea name="sam2" toName="image" visibleWhen="choice-unselected" whenTagName="mark"/>'
    '<TextArea name="mark" toName="image" perRegion="true" visibleWhen="choice-selected" whenTagName="no-tag"/></View>'
)
CONFIG = labels_config().replace("</View>", FIELD)
UNKNOWN = '"{}" means nothing here. Type boxes for the masks of all boxes, or all for every object.'


def line(*texts: str) -> dict[str, Any]:
    """The region that the editor makes of lines that were typed."""
    value = {"text": list(texts)}
    return {
        "id": "A5omJH62CL",
        "from_name": "sam2",
        "to_name": "image",
        "type": "textarea",
        "value": value,
        "origin": "manual",
    }


def ask(server: Running, asked: dict[str, Any], *typed: dict[str, Any], config: str = CONFIG) -> list[dict[str, Any]]:
    answer = server.post("/predict", predict_body([asked], list(typed), config))
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    items: list[dict[str, Any]] = result["result"]
    return items


def said(items: list[dict[str, Any]]) -> str:
    """The sentences in the field. The mark beside them, in the same region, keeps the editor from storing them."""
    field, mark = items[:2]
    assert field["id"] == mark["id"]
    assert (field["from_name"], field["type"]) == ("sam2", "textarea")
    assert (mark["from_name"], mark["type"], mark["value"]) == ("mark", "choices", {"text": []})
    (text,) = field["value"]["text"]
    assert text.endswith("\n")  # by which the style tells them from what was typed
    return " | ".join(text.splitlines())


def test_boxes_of_the_task_come_back_as_masks_with_their_own_labels(server: Running, image_host: ImageHost) -> None:
    boxes = (labelled_box(10, 10, 20, 20, name="a"), labelled_box(60, 60, 30, 30, name="b", label="scratch"))
    items = ask(server, task(1, f"{image_host.url}/a.png", *boxes), line("Boxes "))
    assert said(items) == "2 masks, with the labels of the boxes. Accept before you choose a label."
    assert [item["value"]["brushlabels"] for item in items[2:]] == [["defect"], ["scratch"]]
    assert iou(brush_mask(items[2]), disc(0.2, 0.2, 0.1)) > 0.95
    assert iou(brush_mask(items[3]), disc(0.75, 0.75, 0.15)) > 0.95


def test_the_last_of_several_lines_counts(server: Running, image_host: ImageHost) -> None:
    asked = task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20))
    assert said(ask(server, asked, line("cat", "boxes"))).startswith("1 mask, ")
    items = ask(server, asked, line("boxes", "cat"))
    assert said(items) == UNKNOWN.format("cat")
    assert len(items) == 2
    for text in ("  ", "boxes of cats", "Boxes all"):
        assert said(ask(server, asked, line(text))) == UNKNOWN.format(text.strip())


def test_an_empty_list_asks_for_nothing(server: Running, image_host: ImageHost) -> None:
    """The editor sends one where a region that it stores nothing of is all there is."""
    assert ask(server, task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20))) == []


def test_a_draft_of_the_one_who_asks_comes_before_annotations_and_those_before_predictions(
    server: Running, image_host: ImageHost
) -> None:
    def entry(label: str) -> list[dict[str, Any]]:
        return [{"id": 7, "model_version": "detector", "result": [labelled_box(40, 40, 20, 20, label=label)]}]

    def label_of(**has: Any) -> str:
        items = ask(server, task(1, f"{image_host.url}/a.png", **has), line("boxes"))
        return str(items[2]["value"]["brushlabels"][0])

    assert label_of(drafts=entry("scratch"), annotations=entry("defect")) == "scratch"
    assert label_of(drafts=[{"id": 9, "result": []}], annotations=entry("defect")) == "defect"
    assert label_of(annotations=entry("scratch"), predictions=entry("defect")) == "scratch"
    assert label_of(predictions=entry("scratch")) == "scratch"


def test_boxes_whose_masks_are_on_the_screen_are_not_made_again(server: Running, image_host: ImageHost) -> None:
    image = f"{image_host.url}/a.png"
    boxes = [labelled_box(10, 10, 20, 20, name="a"), labelled_box(60, 60, 30, 30, name="b")]
    of_a, of_b = ask(server, task(1, image, *boxes), line("boxes"))[2:]

    some = ask(server, task(1, image, *boxes, of_a), line("boxes"))
    assert said(some).split(" | ")[1] == "1 box has its mask already."
    assert [item["value"] for item in some[2:]] == [of_b["value"]]
    everything = ask(server, task(1, image, *boxes, of_a, of_b), line("boxes"))
    assert (said(everything), everything[2:]) == ("2 boxes have their masks already.", [])

    drafts = [{"id": 5, "result": [*boxes, of_b]}]
    unsaved = ask(server, task(1, image, *boxes, of_a, of_b, drafts=drafts), line("boxes"))
    assert [item["value"] for item in unsaved[2:]] == [of_a["value"]]
    of_others = [{"id": 5, "model_version": "masks of annotations (demo)", "result": [of_a, of_b]}]
    assert len(ask(server, task(1, image, *boxes, predictions=of_others), line("boxes"))[2:]) == 2
    (report,) = masks(server, task(1, image, *boxes, of_a))  # a job's prediction is whole by itself
    assert report["masks"] == 2


def test_a_mask_on_the_screen_is_of_one_box_that_it_fits_best(server: Running, image_host: ImageHost) -> None:
    """One inside the other, half its area."""
    image = f"{image_host.url}/a.png"
    inner, outer = labelled_box(25, 25, 50, 50, name="inner"), labelled_box(15, 15, 70, 70, name="outer")
    of_inner, of_outer = ask(server, task(1, image, inner, outer), line("boxes"))[2:]
    assert iou(brush_mask(of_inner), brush_mask(of_outer)) > 0.45
    for mask, other in ((of_inner, of_outer), (of_outer, of_inner)):
        items = ask(server, task(1, image, inner, outer, mask), line("boxes"))
        assert [item["value"] for item in items[2:]] == [other["value"]]


def test_what_is_wrong_is_said_beside_the_field(server: Running, image_host: ImageHost) -> None:
    nothing = task(1, f"{image_host.url}/a.png")
    assert said(ask(server, nothing, line("boxes"))).startswith("No boxes here.")
    missing = task(2, f"{image_host.url}/missing.png", labelled_box(10, 10, 20, 20))
    assert "404" in said(ask(server, missing, line("boxes")))
    assert "Task 2:" in last_errors(server)
    flat = [labelled_box(10, 10, 0, 20, name=f"flat{number}") for number in range(5)]
    some = said(ask(server, task(3, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20), *flat), line("boxes")))
    assert some.split(" | ")[1] == "Rectangle flat0 (defect): it has no area."
    assert some.endswith(" | 3 more: ask whoever runs this for samstudio status.")


def test_a_model_that_is_loading_says_so(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0", "slowly", wait=False, LOADING_SECONDS="0.1")
    server.wait_listening()
    asked = task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20))
    assert said(ask(server, asked, line("boxes"))) == "The SAM2 model is still loading: try again in a moment."
    answer = server.post("/predict", predict_body([asked], [labelled_box(10, 10, 20, 20)], CONFIG))
    assert answer.status_code == 503


def test_nobody_who_asks_waits_for_a_job(start_server: StartServer, image_host: ImageHost) -> None:
    """Twenty images of a job are on their way, each a fifth of a second."""
    server = start_server("0.2")
    image_host.files["/typed.png"] = picture((77, 7, 8))
    with twenty_under_way(server, image_host) as job:
        items = ask(server, task(99, f"{image_host.url}/typed.png", labelled_box(40, 40, 20, 20)), line("boxes"))
        unfinished = encodes(server)
        assert said(items).startswith("1 mask, ")
        assert not job.done()
        assert unfinished < 15
        assert {report["state"] for report in job.result()} == {"made"}


@pytest.mark.parametrize(
    ("replaced", "by", "found"),
    [
        ("", "", TextField("sam2", "mark", "image")),
        ('"no-tag"', '"out"', None),  # a tag that exists: the editor may store what is said
        ("choice-unselected", "choice-selected", None),
        ('whenTagName="mark"', "", None),
        ('perRegion="true"', "", None),  # what is typed next would not be sent
        ('name="mark" toName="image"', 'name="mark" toName="text"', None),
    ],
)
def test_a_field_is_one_whose_text_the_editor_does_not_store(replaced: str, by: str, found: TextField | None) -> None:
    assert read(CONFIG.replace(replaced, by)).field == found


def test_other_text_areas_are_not_ours(server: Running, image_host: ImageHost) -> None:
    note = {**line("boxes"), "from_name": "note"}
    body = predict_body([task(1, f"{image_host.url}/a.png", labelled_box(10, 10, 20, 20))], [note], CONFIG)
    answer = server.post("/predict", body)
    assert answer.status_code == 400
    assert "textarea" in answer.json()["error"]
