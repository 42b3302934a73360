"""`all` in the editor's text field: masks of every object, with a label that nobody guessed."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from image_host import ImageHost, picture
from PIL import Image, ImageDraw
from running import SPLIT_CONFIG, Running, brush_mask, iou, labelled_box, labelled_point, labels_config
from sam2_backend.engine.interface import Decoded, EngineInfo, Prompt
from sam2_backend.label_studio import everything, text_field
from sam2_backend.label_studio.everything import Everything, ObjectFinder, label_of
from sam2_backend.label_studio.labeling_config import read
from sam2_backend.label_studio.results import rle
from sam2_backend.label_studio.there import masks_there
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.device import Device
from sam2_backend.serving.predict import Predictor
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.settings import from_environment
from sam2_backend.steps import Steps
from test_masks import encodes, last_errors, task
from test_text_field import CONFIG, FIELD, ask, line, said

StartServer = Callable[..., Running]
Mask = np.ndarray[Any, Any]
ONE_LABEL = CONFIG.replace('<Label value="scratch"/>', "")
WIDTH, HEIGHT = 480, 320


def scene(seed: int) -> tuple[bytes, list[Mask]]:
    """An image of six dark ellipses and rectangles on a pale ground, and where they are."""
    rng = np.random.default_rng([16, seed])

    def colour(low: int, high: int) -> tuple[int, int, int]:
        red, green, blue = (int(level) for level in rng.integers(low, high, 3))
        return red, green, blue

    image = Image.new("RGB", (WIDTH, HEIGHT), colour(170, 240))
    truths = []
    for number in range(6):
        x, y = (number % 3 + 0.5) * WIDTH / 3, (number // 3 + 0.5) * HEIGHT / 2
        half = rng.uniform(0.25, 0.42, 2) * (WIDTH / 3, HEIGHT / 2)
        area = [round(edge) for edge in (x - half[0], y - half[1], x + half[0], y + half[1])]
        truth = Image.new("1", image.size)
        for canvas, ink in ((truth, 1), (image, colour(10, 110))):
            pencil = ImageDraw.Draw(canvas)
            (pencil.rectangle if number % 2 else pencil.ellipse)(area, fill=ink)
        truths.append(np.asarray(truth))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue(), truths


@pytest.mark.slow
def test_every_object_is_found_once_with_the_label_and_one_encode(demo_server: Running, image_host: ImageHost) -> None:
    """In scenes whose six shapes the demo model can tell apart by a click on each."""
    before, ious = encodes(demo_server), []
    for seed in (2, 3, 7):
        path = f"/scene{seed}.png"
        image_host.files[path], truths = scene(seed)
        items = ask(demo_server, task(seed, image_host.url + path), line("all scratch"))
        assert said(items).startswith('6 objects with the label "scratch". ')
        found = [brush_mask(item) for item in items[2:]]
        matched = [int(np.argmax([iou(mask, truth) for mask in found])) for truth in truths]
        assert sorted(matched) == list(range(6))  # each shape its own mask, and none besides
        ious += [iou(found[at], truth) for at, truth in zip(matched, truths, strict=True)]
        assert {label for item in items[2:] for label in item["value"]["brushlabels"]} == {"scratch"}
    assert np.mean(ious) >= 0.9, ious
    assert encodes(demo_server) == before + 3


@pytest.mark.slow
def test_what_the_annotation_has_is_not_proposed_again(demo_server: Running, image_host: ImageHost) -> None:
    image_host.files["/half.png"], truths = scene(3)
    regions = [region(truth, f"r{number}") for number, truth in enumerate(truths[:3])]
    regions.append(boxed(truths[3]))
    items = ask(demo_server, task(9, f"{image_host.url}/half.png", *regions), line("all defect"))
    assert said(items).startswith("2 objects ")
    for item in items[2:]:
        assert max(iou(brush_mask(item), truth) for truth in truths[4:]) > 0.8


def region(mask: Mask, name: str) -> dict[str, Any]:
    value = {"format": "rle", "rle": list(rle.mask_to_rle(mask)), "brushlabels": ["defect"]}
    height, width = mask.shape
    size = {"original_width": width, "original_height": height}
    return {"id": name, "from_name": "out", "to_name": "image", "type": "brushlabels", "value": value, **size}


def boxed(mask: Mask) -> dict[str, Any]:
    ys, xs = np.nonzero(mask)
    left, top = 100 * xs.min() / WIDTH, 100 * ys.min() / HEIGHT
    width, height = 100 * (xs.max() + 1) / WIDTH - left, 100 * (ys.max() + 1) / HEIGHT - top
    return labelled_box(left, top, width, height, original_width=WIDTH, original_height=HEIGHT)


def test_a_click_on_another_image_waits_for_none_of_it(start_server: StartServer, image_host: ImageHost) -> None:
    """256 points of 10 ms each are on their way."""
    server = start_server("0", DECODE_SECONDS="0.01")
    image_host.files["/many.png"], image_host.files["/clicked.png"] = picture((9, 7, 8)), picture((7, 9, 8))
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(ask, server, task(1, f"{image_host.url}/many.png"), line("all"), config=ONE_LABEL)
        while not encodes(server):
            assert not search.done()
        click = server.click(f"{image_host.url}/clicked.png", labelled_point(50, 50), config=CONFIG, task=2)
        assert click.status_code == 200
        assert not search.done()
        assert said(search.result()) == "No objects found."  # the stand-in's discs are not stable


class Recorder:
    """Answers every point with one square around it. urgencies: of the images that were asked for."""

    def __init__(self) -> None:
        self.urgencies: list[int] = []
        self.points = 0

    async def get(self, source: object, urgency: int, steps: object) -> tuple[PreparedImage, str]:
        self.urgencies.append(urgency)
        return PreparedImage("key", None, WIDTH, HEIGHT), "memory"  # type: ignore[arg-type]

    async def candidates(self, image: PreparedImage, prompt: Prompt, urgency: int) -> Decoded:
        self.points += 1
        x, y = (int(number * 256) for number in prompt.points[0])
        logits = np.full((1, 256, 256), -5, np.float32)
        logits[0, y - 7 : y + 7, x - 7 : x + 7] = 5
        return Decoded(logits, np.array([0.85 + x / 2560], np.float32))


async def found_with(embeddings: Recorder, predictor: Any, seconds: float) -> Everything:
    source = SimpleNamespace(source=lambda *_: None)
    inference = SimpleNamespace(embeddings=embeddings, predictor=predictor)
    finder = ObjectFinder(from_environment({}), source, inference)  # type: ignore[arg-type]
    return await finder.find(task(1, "http://images/a.png"), "1", read(CONFIG), "image", "defect", seconds)


def find(seconds: float) -> tuple[Everything, Recorder]:
    recorder = Recorder()
    return asyncio.run(found_with(recorder, recorder, seconds)), recorder


class Watched:
    """An engine that writes down what it decodes, and waits with the first point until it may go on."""

    info = EngineInfo("watched", "gpu", "f32", "watched", 256, "")
    batch = 1

    def __init__(self) -> None:
        self.decoded: list[str] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def decode(self, prepared: object, prompt: Prompt) -> Decoded:
        self.decoded.append("point")
        self.begun.set()
        self.go_on.wait(60)
        return Decoded(np.full((1, 64, 64), -5, np.float32), np.array([0.1], np.float32))

    def best_mask(self, prepared: object, prompt: Prompt) -> tuple[Mask, float]:
        self.decoded.append("click")
        return np.zeros((64, 64), np.float32), 0.9

    def encode_batch(self, pixels: object) -> list[object]:
        raise NotImplementedError


def test_a_click_goes_before_all_points_that_wait() -> None:
    engine = Watched()
    device = Device(engine, overlaps=True, lost=lambda _: None)  # type: ignore[arg-type]
    predictor = Predictor(device)
    image = PreparedImage("key", None, WIDTH, HEIGHT)  # type: ignore[arg-type]

    async def both() -> None:
        search = asyncio.create_task(found_with(Recorder(), predictor, 60))
        await asyncio.to_thread(engine.begun.wait, 60)
        prompt = Prompt(np.zeros((1, 2), np.float32), np.ones(1, np.int32))
        click = asyncio.create_task(predictor.mask(2, image, prompt, (), Steps()))
        await asyncio.sleep(0)
        engine.go_on.set()
        await asyncio.gather(search, click)

    asyncio.run(both())
    device.close()
    assert engine.decoded[:2] == ["point", "click"]
    assert engine.decoded.count("point") == 256


def test_its_image_is_less_urgent_than_a_click_and_more_than_one_ahead() -> None:
    _, recorder = find(60)
    assert recorder.urgencies == [Urgency.PREVIEW]
    assert Urgency.CLICK < Urgency.PREVIEW < Urgency.OPENED


def test_no_more_than_the_editor_can_show_the_best_first() -> None:
    found, _ = find(60)
    assert len(found.result) == len(found.scores) == everything.MOST
    assert found.scores == sorted(found.scores, reverse=True)
    assert found.left_out == 256 - everything.MOST
    assert found.whole


def test_the_time_ends_it_and_it_says_so() -> None:
    found, recorder = find(-1)
    assert (found.whole, found.result) == (False, [])
    assert recorder.points == 0
    assert text_field.of_all(found, 10) == [
        "No objects found.",
        "The image was not searched to the end: 10 s were over.",
    ]


def test_what_it_says() -> None:
    def told(**more: Any) -> str:
        return " ".join(text_field.of_all(Everything("cell", **more), 10))

    assert told(scores=[0.9]).startswith('1 object with the label "cell". Throw away')
    assert told(scores=[0.9], left_out=7).endswith(
        "7 more were found: accept these, wait until they are saved, and ask again."
    )
    assert told(there=2) == "No other objects found."


def test_the_label_is_typed_or_the_only_one_and_never_guessed(server: Running, image_host: ImageHost) -> None:
    asked = task(1, f"{image_host.url}/a.png")
    items = ask(server, asked, line("all"))
    assert said(items) == "Which label shall they have? Type all defect or all scratch."
    assert len(items) == 2
    assert said(ask(server, asked, line("all rust"))) == 'No label is called "rust". Type all defect or all scratch.'
    assert "label shall" not in last_errors(server)  # nothing for whoever runs this
    config = read(CONFIG)
    assert label_of(config, "image", "Scratch") == "scratch"
    assert label_of(read(ONE_LABEL), "image", "") == "defect"
    assert label_of(read(SPLIT_CONFIG), "image", "defect") == "defect"
    plain = read('<View><Image name="image" value="$image"/><Brush name="b" toName="image"/></View>')
    assert label_of(plain, "image", "") == ""
    with pytest.raises(Problem, match="Type all alone"):
        label_of(plain, "image", "cell")


def test_labels_that_differ_in_capitals_alone_are_told_apart() -> None:
    config = read(labels_config().replace('"scratch"', '"Defect"'))
    assert label_of(config, "image", "Defect") == "Defect"
    with pytest.raises(Problem, match="No label is called"):
        label_of(config, "image", "DEFECT")


def test_many_labels_are_not_all_listed() -> None:
    labels = "".join(f'<Label value="kind {number}"/>' for number in range(9))
    with pytest.raises(Problem, match="Type all defect or all kind 0 or all kind 1, and so on"):
        label_of(read(labels_config().replace('<Label value="scratch"/>', labels)), "image", "")


def test_what_cannot_be_done_is_said_in_the_field(server: Running, image_host: ImageHost) -> None:
    assert "404" in said(ask(server, task(1, f"{image_host.url}/missing.png"), line("all defect")))
    boxes_only = labels_config("RectangleLabels").replace("</View>", FIELD)
    assert "all" in said(ask(server, task(1, f"{image_host.url}/a.png"), line("all defect"), config=boxes_only))
    several = CONFIG.replace('value="$image"', 'valueList="$image"')
    pair = {**task(1, ""), "data": {"image": [f"{image_host.url}/a.png", f"{image_host.url}/b.png"]}}
    assert said(ask(server, pair, line("all defect"), config=several)).startswith("This task has 2 images")


def test_the_regions_there_are_those_on_the_screen() -> None:
    box = labelled_box(25, 25, 50, 50)
    ellipse = {**box, "type": "ellipselabels", "value": {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25}}
    elsewhere = {**box, "to_name": "other"}
    broken = {**box, "value": {"x": "left"}}
    flat = {**ellipse, "value": {"x": 50, "y": 50, "radiusX": 0, "radiusY": 25}}
    masks = masks_there(task(1, "", box, ellipse, elsewhere, broken, flat, labelled_point(1, 1)), "image", 8, 1000)
    assert [int(mask.sum()) for mask in masks] == [16, 12]
    drafts = [{"id": 3, "result": [box]}, {"id": 2, "result": [box, box]}]
    assert len(masks_there(task(1, "", ellipse, ellipse, drafts=drafts), "image", 8, 1000)) == 1
    several = [{"id": 1, "result": [box]}, {"id": 2, "result": [box]}]
    assert masks_there(task(1, "", annotations=several), "image", 8, 1000) == []
    drawn = masks_there(task(1, "", box, ellipse), "image", 8, 1000, boxes=False)
    assert [int(mask.sum()) for mask in drawn] == [12]
    later = {**ellipse, "item_index": 1}
    assert [len(masks_there(task(1, "", box, later), "image", 8, 1000, at)) for at in (None, 0, 1)] == [1, 1, 1]
