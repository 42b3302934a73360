"""The page's own calls are held to the limits that clicks have."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from image_host import ImageHost, picture
from running import Running, point

StartServer = Callable[..., Running]
MIB = 1 << 20


def asked_of(server: Running, png: bytes) -> dict[str, object]:
    image = server.post("/ui/image", data=png).json()["image"]
    return {"image": image, "result": [{"id": "1", "type": "keypoint", "value": {"x": 50, "y": 50}}]}


@contextlib.contextmanager
def a_click_in_progress(server: Running, image_host: ImageHost) -> Iterator[None]:
    image_host.files["/busy.png"] = picture((3, 1, 4))
    clicking = threading.Thread(target=lambda: server.click(f"{image_host.url}/busy.png", *point(50, 50)))
    clicking.start()
    deadline = time.monotonic() + 30
    while not image_host.seen("/busy.png"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield
    clicking.join()


def test_a_full_queue_is_told(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("1.5", MAX_QUEUE="1")
    asked = asked_of(server, picture((1, 5, 9)))
    with a_click_in_progress(server, image_host):
        for answer in (server.post("/ui/image", data=picture((2, 6, 5))), server.post("/ui/mask", asked)):
            assert answer.status_code == 503
            assert "busy" in answer.reason
        # What the mouse is over is asked for behind all clicks, and keeps none out.
        assert server.post("/ui/preview", asked).status_code == 200


def test_nobody_waits_longer_than_for_a_click(start_server: StartServer) -> None:
    server = start_server("1.5", PREDICT_SECONDS="0.3")
    answer = server.post("/ui/image", data=picture((2, 7, 1)))
    assert answer.status_code == 504
    assert "overloaded" in answer.reason


@pytest.mark.parametrize("path", ["/ui/mask", "/ui/preview"])
def test_a_mask_is_not_waited_for_without_an_end(path: str, start_server: StartServer) -> None:
    server = start_server("0", DECODE_SECONDS="6", PREDICT_SECONDS="2")
    answer = server.post(path, asked_of(server, picture((8, 2, 8))))
    assert answer.status_code == 504


def test_files_that_are_sent_at_once_do_not_pile_up(start_server: StartServer) -> None:
    """Twelve people send 40 MiB each, and hold back the last byte: the server takes in a few, the others wait."""
    server, size = start_server(), 40 * MIB
    resident = psutil.Process(server.process.pid).memory_info
    before = resident().rss
    with contextlib.ExitStack() as connections:
        for _ in range(12):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.settimeout(1)
            connection.sendall(f"POST /ui/image HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
            with contextlib.suppress(TimeoutError):
                connection.sendall(os.urandom(MIB) * (size // MIB - 1))
        assert resident().rss - before < 6 * size
    assert server.post("/ui/image", data=picture((4, 5, 9))).status_code == 200
