"""Everything that goes wrong around a click: one sentence, as JSON and as reason phrase, and the server goes on."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from image_host import ImageHost, picture
from running import SPLIT_CONFIG, Running, labelled_point, labels_config, point, predict_body
from stand_in_engine import ALWAYS_TOO_MUCH, FATAL, ONCE_TOO_MUCH

StartServer = Callable[..., Running]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, image_host: ImageHost) -> Running:  # type: ignore[misc]
    """A server with small limits that knows the image host as its Label Studio."""
    running = Running(
        ["stand_in_server.py"],
        {
            "CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
            "FETCH_SECONDS": "1.5",
            "MAX_IMAGE_BYTES": "3000000",
            "MAX_IMAGE_PIXELS": "1000000",
            "MAX_BODY_BYTES": "100000",
            "LABEL_STUDIO_URL": image_host.url,
        },
    )
    running.wait_ready()
    yield running
    running.stop()


def refused(server: Running, image: str, status: int, *words: str) -> None:
    """The click is answered with this status and a sentence that has these words, and the next good click works."""
    answer = server.click(image, *point(50, 50))
    assert answer.status_code == status, answer.text
    sentence = answer.json()["error"]
    for word in words:
        assert word in sentence
    assert answer.reason == sentence.encode("ascii", "replace").decode().replace("?", " ").strip() or sentence.isascii()
    assert answer.reason[:60] == sentence[:60]
    errors = server.get("/status").json()["last_errors"]
    assert errors[-1]["message"] == sentence
    assert "sam2_problems_total{" in server.get("/metrics").text


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/odd/hang", 504, ["1.5 s"]),
        ("/odd/slow", 504, ["1.5 s"]),
        ("/odd/sign-in", 502, ["web page", "LABEL_STUDIO_API_KEY"]),
        ("/odd/loop", 502, ["redirected more than"]),
        ("/odd/empty", 502, ["empty file"]),
        ("/odd/endless", 413, ["MAX_IMAGE_BYTES"]),
        ("/odd/cut", 422, ["not an image that can be read"]),
        ("/odd/status?code=401", 502, ["refused the image (HTTP 401)", "LABEL_STUDIO_API_KEY"]),
        ("/odd/status?code=403", 502, ["refused the image (HTTP 403)"]),
        ("/odd/status?code=404", 502, ["no image at", "404"]),
        ("/odd/status?code=500", 502, ["answered HTTP 500"]),
    ],
)
def test_odd_answers(strict: Running, image_host: ImageHost, path: str, status: int, words: list[str]) -> None:
    refused(strict, f"{image_host.url}/data/upload{path}", status, *words)


def test_bombs_text_and_hosts_that_are_not_there(strict: Running, image_host: ImageHost) -> None:
    image_host.files["/bomb.png"] = picture(size=(20_000, 5_000))
    refused(strict, f"{image_host.url}/bomb.png", 422, "20000x5000", "MAX_IMAGE_PIXELS")
    image_host.files["/text.png"] = b"this is no image at all"
    refused(strict, f"{image_host.url}/text.png", 422, "not an image that can be read")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused(strict, f"http://127.0.0.1:{closed.getsockname()[1]}/a.png", 502, "Cannot connect")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("file:///etc/passwd", "file://"),
        ("ftp://host/a.png", "ftp://"),
        ("javascript:alert(1)", "javascript://"),
        ("not an address", "neither a URL nor a Label Studio path"),
        ("//evil.example/a.png", "neither a URL nor a Label Studio path"),
        ("/api/projects/1/export", "no image file of Label Studio"),
        ("http://2852039166/a.png", "not a valid one"),
        *(
            (f"http://{host}/latest/meta-data", "metadata service")
            for host in (
                "169.254.169.254",
                "[fe80::1]",
                "[::ffff:169.254.169.254]",
                "[64:ff9b::a9fe:a9fe]",
                "[2002:a9fe:a9fe::]",
                "0.0.0.0",
                "0xa9fea9fe",
                "[fd00:ec2::254]",
                "[fd20:ce::254]",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "224.0.0.1",
            )
        ),
    ],
)
def test_addresses_that_are_never_fetched(strict: Running, address: str, why: str) -> None:
    refused(strict, address, 422, why)


def test_a_proxy_resolves_nothing_that_is_forbidden(start_server: StartServer) -> None:
    """The proxy would answer with an image; the name means a metadata service already here."""
    with ImageHost() as proxy:
        proxy.files["/a.png"] = picture()
        server = start_server(http_proxy=proxy.url)
        assert server.click("http://images.example/a.png", *point(50, 50)).status_code == 200
        # 0xa9fea9fe is a name to the proxy, and 169.254.169.254 to the system's resolver.
        refused(server, "http://0xa9fea9fe/a.png", 422, "metadata service")
        assert [path for path, _ in proxy.requests] == ["http://images.example/a.png"]


def test_a_redirect_to_a_forbidden_address_is_not_followed(strict: Running, image_host: ImageHost) -> None:
    image_host.redirect_to = "http://169.254.169.254/secret"
    refused(strict, f"{image_host.url}/data/upload/odd/redirect", 422, "link-local")
    image_host.redirect_to = "file:///etc/passwd"
    refused(strict, f"{image_host.url}/data/upload/odd/redirect", 422, "file://")


def test_tokens_stay_with_label_studio(start_server: StartServer, image_host: ImageHost) -> None:
    with ImageHost() as other:
        other.files["/moved.png"] = picture((3, 3, 3))
        image_host.redirect_to = f"{other.url}/moved.png"
        server = start_server(LABEL_STUDIO_URL=image_host.url, LABEL_STUDIO_API_KEY="f" * 40)
        assert server.click("/data/upload/odd/redirect?1", *point(50, 50)).status_code == 200
        assert server.click(f"{other.url}/moved.png", *point(50, 50)).status_code == 200
        assert image_host.seen("/data/upload/odd/redirect?1")[0]["Authorization"] == "Token " + "f" * 40
        assert other.seen("/moved.png")
        assert not any("Authorization" in headers for headers in other.seen("/moved.png"))
        # Label Studio itself answers with what is no image of a task.
        image_host.redirect_to = "/api/projects/2/export"
        assert server.click("/data/upload/odd/redirect?3", *point(50, 50)).status_code == 502
        (asked,) = image_host.seen("/api/projects/2/export")
        assert "Authorization" not in asked


def test_a_sign_in_redirect_is_a_token_problem(strict: Running, image_host: ImageHost) -> None:
    image_host.redirect_to = "/user/login/?next=/data/upload/1/a.png"
    refused(strict, f"{image_host.url}/data/upload/odd/redirect?2", 502, "LABEL_STUDIO_API_KEY")


def test_requests_that_are_no_requests(strict: Running) -> None:
    for body in (b"", b"{", b"[]", b"7", b'"text"', b"\xff\xfe", b'{"tasks": 3}', b'{"tasks": [3]}'):
        answer = strict.post("/predict", data=body)
        assert answer.status_code == 400
        assert answer.json()["where"] == "request"
    assert strict.post("/predict", {"tasks": [], "padding": "x" * 200_000}).status_code == 413
    chunked = strict.post("/predict", data=iter([b"x" * 60_000, b"x" * 60_000]))
    assert chunked.status_code == 413
    assert "MAX_BODY_BYTES" in chunked.reason
    assert strict.get("/nowhere").status_code == 404
    assert strict.get("/predict").status_code in (404, 405)
    assert strict.post("/webhook", {"action": "SOMETHING_NEW"}).status_code == 200


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('<View><Image name="image" value="$image"/></View>', ["output tag"]),
        ("<View", ["cannot be read"]),
        ('<View><Text name="t" value="$t"/><TextArea name="x" toName="t"/></View>', ["image tag"]),
        (labels_config().replace("defect", "other"), ['"defect"', "does not know"]),
    ],
)
def test_configs_without_a_way_out(strict: Running, image_host: ImageHost, config: str, words: list[str]) -> None:
    answer = strict.click(f"{image_host.url}/a.png", labelled_point(50, 50), config=config)
    assert answer.status_code == 422
    for word in words:
        assert word in answer.json()["error"]


def test_prompts_without_a_meaning(strict: Running, image_host: ImageHost) -> None:
    image = f"{image_host.url}/a.png"
    for regions in (
        [{"type": "brush", "id": "b", "value": {"rle": []}}],
        [{"type": "keypoint", "id": "k", "value": {"x": "left", "y": 3}}],
        [{"type": "keypoint", "id": "k", "value": {"x": 1}}],
        [7, None, "x"],
        point(50, 50, positive=False),
    ):
        answer = strict.click(image, *regions)  # type: ignore[arg-type]
        assert answer.status_code == 400, answer.text
        assert answer.json()["where"] == "prompt"
    assert strict.click(image).json() == {"results": [{"result": []}]}


def test_a_task_without_the_image(strict: Running) -> None:
    body = predict_body([{"id": 1, "data": {"picture": "x"}}], point(50, 50), SPLIT_CONFIG)
    answer = strict.post("/predict", body)
    assert answer.status_code == 422
    assert '"image"' in answer.reason
    assert "picture" in answer.reason


def test_too_many_clicks_at_once(start_server: StartServer, image_host: ImageHost) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(6):
        image_host.files[f"/many{number}.png"] = picture((number, 9, 9))
    server = start_server("1.0", MAX_QUEUE="2")
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda number: server.click(f"{image_host.url}/many{number}.png", *point(50, 50)), range(6))
        )
    busy = [answer for answer in answers if answer.status_code == 503]
    assert len(busy) == 4
    assert all(answer.headers["Retry-After"] == "2" and "busy" in answer.reason for answer in busy)
    assert server.click(f"{image_host.url}/many0.png", *point(50, 50)).status_code == 200


def test_device_out_of_memory(start_server: StartServer, image_host: ImageHost) -> None:
    """Embeddings make room and the click works; if that is not enough, the sentence says so."""
    server = start_server()
    assert server.click(f"{image_host.url}/a.png", *point(50, 50)).status_code == 200
    image_host.files["/once.png"], image_host.files["/always.png"] = picture(ONCE_TOO_MUCH), picture(ALWAYS_TOO_MUCH)
    assert server.click(f"{image_host.url}/once.png", *point(50, 50)).status_code == 200
    assert server.get("/status").json()["cache"]["evictions"] == 1
    answer = server.click(f"{image_host.url}/always.png", *point(50, 50))
    assert answer.status_code == 503
    assert "out of memory" in answer.reason
    assert server.click(f"{image_host.url}/a.png", *point(50, 50)).status_code == 200


def test_no_secret_and_no_body_in_the_log(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server(LABEL_STUDIO_URL=image_host.url, LABEL_STUDIO_API_KEY="e" * 40, LOG_LEVEL="DEBUG")
    setup = {"project": "3.1", "schema": SPLIT_CONFIG, "hostname": image_host.url, "access_token": "d" * 40}
    assert server.post("/setup", setup).status_code == 200
    assert server.click("/data/upload/a.png", *point(50, 50, label="defect")).status_code == 200
    assert server.click("/data/upload/odd/status?code=403&token=abcdefgh", *point(50, 50)).status_code == 502
    server.stop()
    log = server.log()
    assert '"message": "click"' in log
    for secret in ("e" * 40, "d" * 40, "abcdefgh", "keypoint"):
        assert secret not in log


def test_a_token_exchange_that_answers_no_json_is_named(start_server: StartServer) -> None:
    with ImageHost() as studio:
        studio.refresh_answer = b"<html>The proxy says hello</html>"
        server = start_server(LABEL_STUDIO_URL=studio.url, LABEL_STUDIO_API_KEY="a.b.c")
        refused(server, "/data/upload/a.png", 502, "without an access token", "LABEL_STUDIO_URL")


@pytest.mark.parametrize("identifier", [[1], {"a": 1}, True, None, 1.5])
def test_an_id_that_is_none_is_no_server_error(strict: Running, image_host: ImageHost, identifier: object) -> None:
    body = predict_body([{"id": identifier, "data": {"image": f"{image_host.url}/a.png"}}], point(50, 50), SPLIT_CONFIG)
    assert strict.post("/predict", body).status_code == 200


def test_a_device_that_is_lost_says_so_and_ends_the_process(start_server: StartServer, image_host: ImageHost) -> None:
    """A balancer goes elsewhere, and the container is started again."""
    server = start_server()
    image_host.files["/fatal.png"] = picture(FATAL)
    answer = server.click(f"{image_host.url}/fatal.png", *point(50, 50))
    assert answer.status_code == 503
    assert "computes no more" in answer.reason
    health = server.get("/health")
    assert health.status_code == 503
    assert "illegal memory access" in health.reason
    assert server.click(f"{image_host.url}/a.png", *point(50, 50)).status_code == 503
    assert server.process.wait(60) == 1
