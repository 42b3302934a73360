"""Label Studio's ML contract, the states of the server, and what admins ask it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from image_host import ImageHost, picture
from running import PACKAGE_ROOT, SPLIT_CONFIG, Running, brush_mask, point, predict_body

StartServer = Callable[..., Running]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_health_setup_versions_status(server: Running) -> None:
    for path in ("/", "/health"):
        assert server.get(path).json()["status"] == "UP"
    setup = {
        "project": "12.1700000000",
        "schema": SPLIT_CONFIG,
        "hostname": "http://localhost:8080",
        "access_token": "x",
        "extra_params": None,
    }
    assert server.post("/setup", setup).json() == {"model_version": "disc"}
    assert server.get("/versions").json() == {"versions": ["disc"]}
    status = server.get("/status").json()
    assert status["state"] == "ready"
    assert status["model"] == {"config": "disc.yaml", "checkpoint": "disc.pt", "sha256": "0" * 64, "demo": False}
    assert status["engine"] == {
        "name": "stand-in",
        "device": "cpu",
        "precision": "f32",
        "asked": "auto",
        "refused": "",
        "image_size": 256,
    }
    assert "12" in status["projects"]
    assert status["versions"]["sam2_backend"]
    assert set(status["queue"]) >= {"depth", "limit"}


def test_setup_names_the_missing_tag_and_shows_a_config(server: Running) -> None:
    broken = SPLIT_CONFIG.replace('<Brush name="brush" toName="image" smart="false"/>', "").replace(' smart="true"', "")
    answer = server.post("/setup", {"project": "5.1", "schema": broken})
    assert answer.status_code == 422
    assert "<KeyPoint>" in answer.reason
    assert "<View>" in answer.reason
    assert server.post("/setup", {"project": "5.1", "schema": "<View></View>"}).status_code == 200
    assert server.post("/setup", {}).status_code == 400


def test_basic_auth_guards_all_but_health(start_server: StartServer, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    server = start_server(BASIC_AUTH_USER="ls", BASIC_AUTH_PASS_FILE=str(password))
    assert server.get("/health").status_code == 200
    assert server.get("/").status_code == 200
    for path in ("/status", "/metrics", "/versions", "/ui", "/ui/health", "/prewarm", "/unknown"):
        answer = server.get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    for auth in (("ls", "wrong"), ("other", "first"), ("", ""), ("ls", "first\n")):
        server.auth = auth
        assert server.get("/status").status_code == 401
    server.auth = ("ls", "first")
    assert server.get("/status").status_code == 200
    password.write_text("first\nsecond\n")
    for accepted in ("first", "second"):
        server.auth = ("ls", accepted)
        assert server.get("/status").status_code == 200
    for auth in (("ls", "first\nsecond"), ("ls", "")):
        server.auth = auth
        assert server.get("/status").status_code == 401
    server.auth = ("ls", "first")
    password.write_text("second")
    assert server.get("/status").status_code == 401
    server.auth = ("ls", "second")
    assert server.post("/predict", {"tasks": [], "params": {}}).status_code == 200


def test_health_says_loading_and_a_click_waits_for_the_model(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0", "slowly", wait=False)
    server.wait_listening()
    answer = server.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "LOADING"
    tasks = [{"id": 1, "data": {"image": f"{image_host.url}/a.png"}}]
    assert server.post("/predict", predict_body(tasks, None, SPLIT_CONFIG)).json() == {"results": [[]]}
    assert server.click(f"{image_host.url}/a.png", *point(50, 50)).status_code == 200


def test_a_click_does_not_wait_for_ever(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0", "slowly", wait=False, LOADING_SECONDS="0.1")
    server.wait_listening()
    answer = server.click(f"{image_host.url}/a.png", *point(50, 50))
    assert answer.status_code == 503
    assert answer.reason == "The SAM2 model is still loading: try again in a moment."
    assert answer.headers["Retry-After"] == "5"


def test_a_model_that_cannot_load_is_a_state_with_a_reason(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0", "fails", wait=False)
    server.wait_listening()
    wait_for(lambda: server.get("/health").json()["status"] == "FAILED")
    assert "told to fail" in server.get("/health").reason
    assert server.get("/status").json()["state"] == "failed"
    refused = server.click(f"{image_host.url}/a.png", *point(50, 50))
    assert "told to fail" in refused.reason
    assert "Retry-After" not in refused.headers
    # Nothing here tries again; the container is started again once the process has ended.
    assert server.process.wait(60) == 1


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "ninety", "whole number"),
        ("PORT", "0", "from 1 to 65535"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO"),
        ("UI", "maybe", "true or false"),
        ("LABEL_STUDIO_URL", "label-studio:8080", "http://label-studio:8080"),
        ("LABEL_STUDIO_API_KEY", "abc", "LABEL_STUDIO_URL"),
        ("BASIC_AUTH_USER", "only", "BASIC_AUTH_PASS"),
        ("BASIC_AUTH_PASS_FILE", "/does/not/exist", "readable text file"),
        ("LOCAL_FILES_DOCUMENT_ROOT", "/", "below /"),
        ("MODEL_CHECKPOINT", "missing.pt", "missing.pt"),
        ("CACHE_MEMORY_BYTES", "-1", "from 0"),
    ],
)
def test_wrong_settings_refuse_to_start(variable: str, value: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sam2_backend"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_ROOT), variable: value},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "does not start" in done.stderr
    assert variable.removesuffix("_API_KEY").removesuffix("_USER") in done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_finishes_the_click_in_progress(start_server: StartServer, image_host: ImageHost) -> None:
    image_host.files["/drain.png"] = picture((7, 7, 7))
    server = start_server("1.5")
    answers: list[requests.Response] = []
    clicking = threading.Thread(
        target=lambda: answers.append(server.click(f"{image_host.url}/drain.png", *point(50, 50)))
    )
    clicking.start()
    wait_for(lambda: bool(image_host.seen("/drain.png")))
    server.process.send_signal(signal.SIGTERM)
    clicking.join()
    assert answers[0].status_code == 200
    assert server.process.wait(30) == 0


def test_embeddings_survive_a_restart_and_damage_is_noticed(
    start_server: StartServer, image_host: ImageHost, tmp_path: Path
) -> None:
    image = f"{image_host.url}/b.png"
    first = start_server()
    expected = brush_mask(first.click(image, *point(30, 30)).json()["results"][0]["result"][0])
    (stored,) = wait_files(tmp_path / "cache", 1)
    first.stop()

    second = start_server()
    again = brush_mask(second.click(image, *point(30, 30)).json()["results"][0]["result"][0])
    assert second.get("/status").json()["last_click"]["cache"] == "disk"
    assert (again == expected).all()
    second.stop()

    whole = stored.read_bytes()
    for damage in (whole[:-3], b"", b"nonsense" * 20, whole[:-1] + bytes([whole[-1] ^ 1])):
        stored.write_bytes(damage)
        server = start_server()
        answer = server.click(image, *point(30, 30)).json()["results"][0]["result"][0]
        assert (brush_mask(answer) == expected).all()
        assert server.get("/status").json()["last_click"]["cache"] == "miss"
        assert "sam2_cache_dropped_total 1.0" in server.get("/metrics").text
        wait_for(lambda: stored.exists() and stored.read_bytes() == whole)
        server.stop()


def wait_files(cache: Path, count: int) -> list[Path]:
    wait_for(lambda: len(list(cache.rglob("*.emb"))) >= count)
    return list(cache.rglob("*.emb"))


def test_memory_and_disk_stay_within_their_bytes(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server(CACHE_MEMORY_BYTES="3000", CACHE_DISK_BYTES="2000")
    for number in range(12):
        image_host.files[f"/full{number}.png"] = picture((number, 1, 1))
        assert server.click(f"{image_host.url}/full{number}.png", *point(50, 50)).status_code == 200
    # 3 of 12 embeddings fit into memory; at least two of them, whatever their file's header, do not fit on disk.
    wait_for(lambda: server.get("/status").json()["cache"]["evictions"] >= 9 + 2)
    cache = server.get("/status").json()["cache"]
    assert cache["memory_bytes"] == 3000
    assert cache["memory_entries"] == 3
    assert 0 < cache["disk_bytes"] <= 2000


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    start_server: StartServer, image_host: ImageHost, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    server = start_server(CACHE_DIR=str(blocked / "cache"))
    for _ in range(2):
        assert server.click(f"{image_host.url}/a.png", *point(50, 50)).status_code == 200
    assert server.get("/status").json()["last_click"]["cache"] == "memory"


def test_prewarm_a_project(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server("0.05")
    tasks = []
    for number in range(6):
        image_host.files[f"/warm{number}.png"] = picture((number, 2, 2))
        tasks.append({"id": number, "data": {"image": f"{image_host.url}/warm{number}.png"}})
    tasks.append({"id": 99, "data": {"image": f"{image_host.url}/never.png"}})
    body = {"project": 4, "label_config": SPLIT_CONFIG, "tasks": tasks}
    answer = server.post("/prewarm", body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 7, "already": 0})
    wait_for(lambda: server.get("/prewarm?project=4").json()["done"] == 6)
    wait_for(lambda: server.get("/prewarm?project=4").json()["failed"] == 1)
    progress = server.get("/prewarm?project=4").json()
    assert progress["total"] == 7
    assert progress["rate"] > 0
    assert "404" in progress["errors"][0]
    assert server.click(f"{image_host.url}/warm3.png", *point(50, 50)).status_code == 200
    assert server.get("/status").json()["last_click"]["cache"] == "disk"
    wait_for(lambda: server.post("/prewarm", body).json() == {"accepted": 1, "already": 6})


def test_what_is_prewarmed_is_shown_as_a_job(start_server: StartServer, image_host: ImageHost) -> None:
    server = start_server()
    tasks = [{"id": n, "data": {"image": image_host.url + path}} for n, path in enumerate(("/odd/hang", "/a.png"))]
    server.post("/prewarm", {"project": 4, "label_config": SPLIT_CONFIG, "tasks": tasks})
    wait_for(lambda: server.get("/prewarm?project=4").json()["done"] == 1)
    (job,) = server.get("/status").json()["jobs"]
    assert [job[word] for word in ("name", "total", "done", "failed")] == ["prewarm-4", 2, 1, 0]
    assert job["rate"] > 0
    assert 'sam2_job_tasks{job="prewarm-4",tasks="total"} 2.0' in server.get("/metrics").text


def test_prewarming_in_batches_forgets_no_failure(server: Running, image_host: ImageHost) -> None:
    """Each batch may be done before the next one comes; then a queue of its own begins."""
    image_host.files["/batch.png"] = picture((1, 2, 3))

    def hand_over(name: str) -> dict[str, Any]:
        tasks = [{"id": 1, "data": {"image": f"{image_host.url}/{name}.png"}}]
        server.post("/prewarm", {"project": 41, "label_config": SPLIT_CONFIG, "tasks": tasks})
        wait_for(lambda: _ended(server.get("/prewarm?project=41").json()))
        return dict(server.get("/prewarm?project=41").json())

    assert hand_over("missing")["since_start"] == {"done": 0, "failed": 1}
    after = hand_over("batch")
    assert (after["done"], after["failed"]) == (1, 0)
    assert after["since_start"] == {"done": 1, "failed": 1}
    assert "404" in after["errors"][0]


def _ended(progress: dict[str, Any]) -> bool:
    return bool(progress["total"]) and progress["done"] + progress["failed"] == progress["total"]


def test_created_tasks_are_prewarmed_by_webhook(server: Running, image_host: ImageHost) -> None:
    image_host.files["/hook.png"] = picture((11, 12, 13))
    event = {
        "action": "TASKS_CREATED",
        "tasks": [{"id": 8, "data": {"image": f"{image_host.url}/hook.png"}, "project": 6}],
        "project": {"id": 6, "label_config": SPLIT_CONFIG},
    }
    assert server.post("/webhook", event).json()["prewarming"] == 1
    wait_for(lambda: server.get("/prewarm?project=6").json()["done"] == 1)
    for action in ("PROJECT_UPDATED", "ANNOTATION_CREATED", "", None, 7):
        assert server.post("/webhook", {"action": action, "project": {"id": 6}}).status_code == 200


def test_metrics_count_what_happened(server: Running, image_host: ImageHost) -> None:
    for _ in range(2):
        server.click(f"{image_host.url}/a.png", *point(50, 50))
    text = server.get("/metrics").text
    for line in (
        'sam2_clicks_total{cache="memory"}',
        'sam2_step_seconds_bucket{le="0.005",step="decode_prompt"}',
        'sam2_cache_bytes{tier="memory"}',
        'sam2_queue_depth{class="interactive"} 0.0',
        'sam2_model_info{device="cpu",engine="stand-in",model="disc",precision="f32"} 1.0',
        "sam2_device_memory_bytes",
        "sam2_precision_refused 0.0",
        "sam2_ready 1.0",
    ):
        assert line in text


def test_a_slower_precision_is_told(start_server: StartServer) -> None:
    server = start_server("0", "slower")
    status = server.get("/status").json()
    assert (status["engine"]["precision"], status["engine"]["asked"]) == ("f32", "auto")
    assert "bf16 is refused" in status["engine"]["refused"]
    assert "bf16 is refused" in status["last_errors"][0]["message"]
    assert "sam2_precision_refused 1.0" in server.get("/metrics").text


def test_replaced_image_is_noticed_by_its_size(server: Running, image_host: ImageHost) -> None:
    image_host.files["/swapped.png"] = picture((50, 50, 50))
    assert server.click(f"{image_host.url}/swapped.png", *point(50, 50)).status_code == 200
    image_host.files["/swapped.png"] = picture((60, 60, 60), size=(96, 128))
    regions = point(50, 50, original_width=96, original_height=128)
    (brush, _) = server.click(f"{image_host.url}/swapped.png", *regions).json()["results"][0]["result"]
    assert brush_mask(brush).shape == (128, 96)


def test_local_files_are_read_where_they_are_mounted(
    start_server: StartServer, image_host: ImageHost, tmp_path: Path
) -> None:
    root = tmp_path / "images"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a b.png").write_bytes(picture((9, 8, 7)))
    (tmp_path / "secret.png").write_bytes(picture((1, 1, 1)))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    server = start_server(LOCAL_FILES_DOCUMENT_ROOT=str(root), LABEL_STUDIO_URL=image_host.url)
    before = len(image_host.requests)
    assert server.click("/data/local-files/?d=deep/a%20b.png", *point(50, 50)).status_code == 200
    assert server.click(f"{image_host.url}/data/local-files/?d=deep/a%20b.png", *point(50, 50)).status_code == 200
    assert len(image_host.requests) == before
    for outside in ("link.png", "../secret.png", "/../secret.png", "%2e%2e/secret.png", "deep/../../secret.png"):
        assert server.click(f"/data/local-files/?d={outside}", *point(50, 50)).status_code == 502
    assert len(image_host.requests) > before


def test_training_is_refused_with_a_sentence(server: Running) -> None:
    """A 200 would leave Label Studio showing the model as training for ever."""
    for path, body in (("/webhook", {"action": "START_TRAINING", "project": {"id": 1}}), ("/train", {})):
        answer = server.post(path, body)
        assert answer.status_code == 422
        assert "not trained here" in answer.reason
    assert server.post("/job_status", {"job": "7"}).json()["job_status"] == "failed"


def test_the_rest_of_the_client_s_calls(server: Running) -> None:
    """Paths and bodies as `MLApi` of Label Studio 1.23 sends them (`ml/api_connector.py`)."""
    assert server.post("/validate", {"config": SPLIT_CONFIG}).status_code == 200
    assert server.post("/validate", {"config": "<View>"}).status_code == 422
    assert server.post("/setup", {"project": "71.1700000000", "schema": SPLIT_CONFIG}).status_code == 200
    copied = {"project_src": "71.1700000000", "project_dst": "72.1700000001"}
    assert server.post("/duplicate_model", copied).status_code == 200
    assert "72" in server.get("/status").json()["projects"]
    assert server.post("/delete", {"project": "72.1700000001"}).status_code == 200
    assert "72" not in server.get("/status").json()["projects"]


def test_two_label_studios_with_a_project_of_one_number(start_server: StartServer) -> None:
    """Each image comes from its own Label Studio, with its own token."""
    with ImageHost() as one, ImageHost() as other:
        server = start_server()
        for host, created, token in ((one, 1700000000, "a" * 40), (other, 1700000001, "b" * 40)):
            body = {"project": f"1.{created}", "schema": SPLIT_CONFIG, "hostname": host.url, "access_token": token}
            assert server.post("/setup", body).status_code == 200
        for host, created, token in ((one, 1700000000, "a" * 40), (other, 1700000001, "b" * 40)):
            clicked = server.click("/data/upload/a.png", *point(50, 50), project=f"1.{created}")
            assert clicked.status_code == 200, clicked.text
            assert [headers["Authorization"] for headers in host.seen("/data/upload/a.png")] == [f"Token {token}"]
        created_at = datetime.fromtimestamp(1700000001, UTC).isoformat()
        task = {"id": 5, "data": {"image": "/data/upload/b.png"}}
        body = {"action": "TASKS_CREATED", "tasks": [task], "project": {"id": 1, "created_at": created_at}}
        assert server.post("/webhook", body).json()["prewarming"] == 1
        wait_for(lambda: bool(other.seen("/data/upload/b.png")))
        assert not one.seen("/data/upload/b.png")
        refused = server.post("/prewarm", {"project": 1, "tasks": [task]})
        assert refused.status_code == 409
        assert "LABEL_STUDIO_URL" in refused.reason


def test_a_project_that_nobody_set_up_is_not_looked_for_elsewhere(start_server: StartServer) -> None:
    """After a restart one Label Studio may have called already, and the click be another one's."""
    with ImageHost() as one:
        server = start_server()
        setup = {"project": "1.1700000000", "schema": SPLIT_CONFIG, "hostname": one.url, "access_token": "a" * 40}
        assert server.post("/setup", setup).status_code == 200
        refused = server.click("/data/upload/a.png", *point(50, 50), project="1.1700000001")
        assert refused.status_code == 503
        assert "LABEL_STUDIO_URL" in refused.reason
        assert one.requests == []
