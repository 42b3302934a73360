"""Eight annotators on eight images at once: no mask ever belongs to another image."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from demo_training.drawings import EASY, draw, targets
from image_host import ImageHost, encoded, picture
from running import SPLIT_CONFIG, Running, brush_mask, iou, point, predict_body
from sam2_backend.serving.claim import Claim, Urgency
from sam2_backend.serving.device import DeviceThread
from sam2_backend.serving.gate import ClickGate

ANNOTATORS = 8
CLICKS = 12
StartServer = Callable[..., Running]


def test_no_mask_of_another_image_while_prewarming(demo_server: Running, image_host: ImageHost) -> None:
    """Each annotator's masks are those that a quiet server gave for the same image; others' are told apart by IoU."""
    size = 256
    clicks: list[list[dict[str, Any]]] = []
    for number in range(ANNOTATORS):
        rng = np.random.default_rng(100 + number)
        drawing = draw(rng, size, EASY)
        image_host.files[f"/crowd{number}.png"] = encoded(drawing.image)
        x, y = targets(rng, drawing.labels, 1)[0].click / size * 100
        clicks.append(point(float(x), float(y), original_width=size, original_height=size))

    def mask(number: int) -> np.ndarray[Any, Any]:
        answer = demo_server.click(f"{image_host.url}/crowd{number}.png", *clicks[number], task=number)
        assert answer.status_code == 200, answer.text
        return brush_mask(answer.json()["results"][0]["result"][0])

    expected = [mask(number) for number in range(ANNOTATORS)]
    others = [iou(expected[one], expected[two]) for one in range(ANNOTATORS) for two in range(one)]
    assert max(others) < 0.8, "the drawings must be told apart for this test to mean anything"

    for number in range(20):
        image_host.files[f"/prewarm{number}.png"] = picture((number, 0, 0))
    tasks = [{"id": n, "data": {"image": f"{image_host.url}/prewarm{n}.png"}} for n in range(20)]
    body = {"project": 77, "label_config": SPLIT_CONFIG, "tasks": tasks}
    assert demo_server.post("/prewarm", body).status_code == 202

    together = threading.Barrier(ANNOTATORS)

    def annotate(number: int) -> list[float]:
        together.wait()
        return [iou(mask(number), expected[number]) for _ in range(CLICKS)]

    with ThreadPoolExecutor(ANNOTATORS) as pool:
        for ious in pool.map(annotate, range(ANNOTATORS)):
            assert min(ious) == 1.0


def test_equal_images_are_fetched_and_encoded_once(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0.3")
    image_host.files["/same.png"] = image_host.files["/copy.png"] = picture((77, 78, 79))
    names = ["/same.png", "/copy.png"] * 5
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda name: server.click(image_host.url + name, *point(50, 50)), names))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len(image_host.seen("/same.png")) == len(image_host.seen("/copy.png")) == 1
    assert server.get("/status").json()["cache"]["misses"] == 1


def test_a_click_overtakes_prewarming(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0.2")
    tasks = []
    for number in range(30):
        image_host.files[f"/queue{number}.png"] = picture((number, 5, 5))
        tasks.append({"id": number, "data": {"image": f"{image_host.url}/queue{number}.png"}})
    server.post("/prewarm", {"project": 1, "label_config": SPLIT_CONFIG, "tasks": tasks})
    assert server.click(f"{image_host.url}/queue29.png", *point(50, 50)).status_code == 200
    progress = server.get("/prewarm?project=1").json()
    assert progress["done"] < 15


def test_prewarming_waits_for_a_moment_without_clicks() -> None:
    async def run() -> None:
        gate = ClickGate(2, 60)
        async with gate.enter():
            waiting = asyncio.create_task(gate.pause())
            async with gate.enter():
                await asyncio.sleep(0.05)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(run())


def test_an_encode_gives_way_on_the_cpu() -> None:
    def priorities(items: Sequence[object]) -> list[object]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in items]

    thread = DeviceThread("encode", priorities, niceness=7)
    niceness = thread.submit("an image", Claim(Urgency.CLICK))
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert niceness.result(5) == own + 7
    thread.close()


def test_images_that_nobody_waits_for_are_encoded_together() -> None:
    """A full batch where there is one; a click, an opened task and what does not fill a batch go alone."""
    begun, go_on = threading.Event(), threading.Event()
    taken: list[list[object]] = []

    def encode(images: Sequence[object]) -> list[object]:
        taken.append(list(images))
        begun.set()
        assert go_on.wait(10)
        return [f"embedding of {image}" for image in images]

    thread = DeviceThread("encode", encode, most=3)
    first = thread.submit("first", Claim(Urgency.PREWARM))
    assert begun.wait(10)
    waiting = [thread.submit(number, Claim(Urgency.PREWARM)) for number in range(5)]
    opened, clicked = thread.submit("opened", Claim(Urgency.OPENED)), thread.submit("click", Claim(Urgency.CLICK))
    waiting[0].cancel()
    go_on.set()
    assert [done.result(10) for done in (clicked, opened)] == ["embedding of click", "embedding of opened"]
    assert [done.result(10) for done in waiting[1:]] == [f"embedding of {number}" for number in range(1, 5)]
    assert first.done()
    assert taken == [["first"], ["click"], ["opened"], [1, 2, 3], [4]]
    thread.close()


def test_the_batch_action_is_answered_at_once(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0.5")
    tasks = [{"id": n, "data": {"image": f"{image_host.url}/queue{n}.png"}} for n in range(20)]
    body = predict_body(tasks, None, SPLIT_CONFIG)
    assert server.post("/predict", body).json() == {"results": [[]] * 20}
    assert server.get("/prewarm?project=1").json()["total"] == 20
