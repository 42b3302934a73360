"""The server beside a real Label Studio: uploads, local files, each kind of token, a click through its own API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from image_host import picture
from running import SPLIT_CONFIG, Running, brush_mask, point, predict_body
from test_contract import wait_for

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
WAIT = 60
AUTH = ("label-studio", "basic-auth-password")


class Studio:
    """A signed-in administrator."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.get(f"{url}/user/login/", timeout=WAIT)
        form = {"email": email, "password": password, "csrfmiddlewaretoken": self._session.cookies["csrftoken"]}
        referer = {"Referer": f"{url}/user/login/"}
        signed_in = self._session.post(f"{url}/user/login/", form, headers=referer, timeout=WAIT, allow_redirects=False)
        assert signed_in.status_code == 302

    def call(self, method: str, path: str, **options: Any) -> Any:
        headers = {"X-CSRFToken": self._session.cookies["csrftoken"], "Referer": self.url}
        answer = self._session.request(method, self.url + path, headers=headers, timeout=WAIT, **options)
        assert answer.ok, (path, answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[tuple[Studio, Path]]:
    from samstudio import ssrf

    from tools.tests import label_studio

    assert pytestconfig.cache is not None
    with label_studio.running(
        tmp_path_factory.mktemp("ls") / "studio",
        Path(pytestconfig.cache.mkdir("label-studio")),
        settings=ssrf.narrow_environment(ssrf.KNOWN, ["127.0.0.1"]),
    ) as server:
        yield Studio(server.url, server.email, server.password), server.images


@pytest.fixture(scope="module")
def access_token(studio: tuple[Studio, Path]) -> str:
    return str(studio[0].call("POST", "/api/token/")["token"])


@pytest.fixture(scope="module")
def project(studio: tuple[Studio, Path]) -> int:
    created = studio[0].call("POST", "/api/projects/", json={"title": "server test", "label_config": SPLIT_CONFIG})
    return int(created["id"])


def uploaded(studio: Studio, project: int, colour: tuple[int, int, int]) -> dict[str, Any]:
    """A task whose image was uploaded."""
    files = {"file": ("picture.png", picture(colour), "image/png")}
    studio.call("POST", f"/api/projects/{project}/import?commit_to_project=true", files=files)
    tasks: list[dict[str, Any]] = studio.call("GET", f"/api/tasks?project={project}&fields=all")["tasks"]
    return tasks[-1]


@pytest.fixture
def backend(start_server: Any, studio: tuple[Studio, Path], access_token: str) -> Running:
    server: Running = start_server(
        LABEL_STUDIO_URL=studio[0].url,
        LABEL_STUDIO_API_KEY=access_token,
        BASIC_AUTH_USER=AUTH[0],
        BASIC_AUTH_PASS=AUTH[1],
    )
    server.auth = AUTH
    return server


def test_an_upload_is_fetched_with_a_personal_access_token(
    backend: Running, studio: tuple[Studio, Path], project: int
) -> None:
    task = uploaded(studio[0], project, (10, 20, 30))
    assert task["data"]["image"].startswith("/data/upload/")
    answer = backend.click(task["data"]["image"], *point(50, 50), task=task["id"])
    assert answer.status_code == 200, answer.text


def test_local_files_are_fetched_over_http(backend: Running, studio: tuple[Studio, Path], project: int) -> None:
    session, images = studio
    (images / "local one.png").write_bytes(picture((30, 20, 10)))
    storage = {"project": project, "path": str(images), "regex_filter": ".*png", "use_blob_urls": True}
    created = session.call("POST", "/api/storages/localfiles/", json=storage)
    session.call("POST", f"/api/storages/localfiles/{created['id']}/sync")
    tasks = session.call("GET", f"/api/tasks?project={project}&fields=all")["tasks"]
    task = next(task for task in tasks if "local-files" in str(task["data"]))
    answer = backend.click(task["data"]["image"], *point(50, 50), task=task["id"])
    assert answer.status_code == 200, answer.text


def test_a_wrong_token_is_named(start_server: Any, studio: tuple[Studio, Path], project: int) -> None:
    task = uploaded(studio[0], project, (11, 21, 31))
    for token in ("0" * 40, "a.b.c", ""):
        server = start_server(LABEL_STUDIO_URL=studio[0].url, LABEL_STUDIO_API_KEY=token)
        answer = server.click(task["data"]["image"], *point(50, 50), task=task["id"])
        assert answer.status_code == 502
        assert "LABEL_STUDIO_API_KEY" in answer.reason
        server.stop()


def test_the_legacy_token_of_setup_is_the_last_resort(
    start_server: Any, studio: tuple[Studio, Path], project: int
) -> None:
    session, _ = studio
    session.call("POST", "/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
    token = session.call("GET", "/api/current-user/token")["token"]
    task = uploaded(session, project, (12, 22, 32))
    server = start_server()
    setup = {
        "project": f"{project}.1",
        "schema": SPLIT_CONFIG,
        "hostname": session.url,
        "access_token": token,
        "extra_params": None,
    }
    assert server.post("/setup", setup).status_code == 200
    answer = server.click(task["data"]["image"], *point(50, 50), task=task["id"], project=f"{project}.1")
    assert answer.status_code == 200, answer.text


def test_a_click_through_label_studio_and_what_it_keeps_of_an_error(
    backend: Running, studio: tuple[Studio, Path], project: int
) -> None:
    session, _ = studio
    registered = session.call(
        "POST",
        "/api/ml",
        json={
            "project": project,
            "url": backend.url,
            "title": "SAM2",
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": AUTH[0],
            "basic_auth_pass": AUTH[1],
        },
    )
    assert registered["state"] == "CO"
    task = uploaded(session, project, (13, 23, 33))

    def click(**context: Any) -> Any:
        path = f"/api/ml/{registered['id']}/interactive-annotating"
        return session.call("POST", path, json={"task": task["id"], "context": context})

    brush, labels = click(result=point(50, 50))["data"]["result"]
    assert brush["id"] == labels["id"]
    assert brush_mask(brush).any()

    session.call("PATCH", f"/api/tasks/{task['id']}", json={"data": {"image": "http://127.0.0.1:9/none.png"}})
    (error,) = click(result=point(50, 50))["errors"]
    assert "502 Server Error: Cannot connect to" in error


@pytest.fixture
def roomy(
    request: pytest.FixtureRequest, converted: Path, tmp_path: Path, studio: tuple[Studio, Path], access_token: str
) -> Iterator[Running]:
    """A backend with room for 20 images on disk, so that five are kept ahead."""
    if request.param == "demo model":
        request.getfixturevalue("demo_server")  # it has converted the model
    (tmp_path / "cache").mkdir()
    for entry in converted.iterdir():
        if entry.name != "embeddings":
            (tmp_path / "cache" / entry.name).symlink_to(entry)
    room = {"CACHE_DIR": str(tmp_path / "cache"), "CACHE_DISK_BYTES": str(20 * 8_400_000)}
    program = "sam2_backend" if request.param == "demo model" else "stand_in_server.py"
    running = Running(
        [program], {**room, "DEVICE": "cpu", "LABEL_STUDIO_URL": studio[0].url, "LABEL_STUDIO_API_KEY": access_token}
    )
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


class Stream:
    """A project as its annotator sees it."""

    def __init__(self, studio: Studio, backend: Running, count: int, **settings: Any) -> None:
        self._studio, self._backend = studio, backend
        asked = {"title": "stream", "label_config": SPLIT_CONFIG, "show_collab_predictions": True, **settings}
        self.number = int(studio.call("POST", "/api/projects/", json=asked)["id"])
        files = {f"{n:02}": (f"{n:02}.png", picture((n, n, self.number)), "image/png") for n in range(count)}
        studio.call("POST", f"/api/projects/{self.number}/import?commit_to_project=true", files=files)
        self.tasks = list(studio.call("GET", f"/api/tasks?project={self.number}&fields=all&page_size=100")["tasks"])
        # Not before: it hears of tasks that are imported, and prewarms them all.
        record = {"project": self.number, "url": backend.url, "title": "SAM2", "is_interactive": True}
        studio.call("POST", "/api/ml", json=record)
        studio.call("PATCH", f"/api/projects/{self.number}", json={"model_version": "SAM2"})

    def next(self) -> int:
        """The task that "Label All Tasks" shows."""
        return int(self._studio.call("GET", f"/api/projects/{self.number}/next")["id"])

    def submit(self, task: int) -> None:
        self._studio.call("POST", f"/api/tasks/{task}/annotations/", json={"result": []})

    def embedded(self) -> list[int]:
        """The tasks that are known now; those that are not become so."""
        asked = {"project": self.number, "label_config": SPLIT_CONFIG}
        found = [self._backend.post("/prewarm", {**asked, "tasks": [task]}).json() for task in self.tasks]
        return [task["id"] for task, answer in zip(self.tasks, found, strict=True) if answer["already"]]

    def ahead(self) -> dict[str, Any]:
        return dict(self._backend.get("/status").json()["ahead"])

    def prepared(self) -> int:
        return int(self._backend.get(f"/prewarm?project={self.number}").json()["since_start"]["done"])


@pytest.mark.parametrize("roomy", ["demo model"], indirect=True)
def test_the_next_tasks_of_the_label_stream_are_embedded_before_they_are_opened(
    roomy: Running, studio: tuple[Studio, Path]
) -> None:
    stream = Stream(studio[0], roomy, 14)
    tasks = [task["id"] for task in stream.tasks]
    for finished in (tasks[2], tasks[4]):
        stream.submit(finished)
    assert stream.next() == tasks[0]
    wait_for(lambda: stream.prepared() == 5)
    expected = [task for task in tasks[1:8] if task not in (tasks[2], tasks[4])]
    for task in expected[:2]:
        stream.submit(stream.next())
        assert stream.next() == task
    wait_for(lambda: stream.ahead()["opened"] >= 3)
    seen = stream.ahead()
    assert (seen["most"], seen["ready"], seen["idle"]) == (5, seen["opened"] - 1, "")
    assert 'sam2_opened_tasks_total{embedding="missing"} 1.0' in roomy.get("/metrics").text
    assert stream.prepared() == 5
    assert stream.embedded() == [tasks[0], *expected]


@pytest.mark.parametrize("roomy", ["stand-in"], indirect=True)
@pytest.mark.parametrize(("count", "prepared"), [(7, False), (6, True)])
def test_an_order_that_cannot_be_foreseen_waits_until_few_tasks_are_left(
    roomy: Running, studio: tuple[Studio, Path], count: int, prepared: bool
) -> None:
    stream = Stream(studio[0], roomy, count, sampling="Uniform sampling")
    stream.submit(stream.tasks[3]["id"])
    opened = stream.next()
    unfinished = [task["id"] for task in stream.tasks if task is not stream.tasks[3]]
    if prepared:
        wait_for(lambda: stream.prepared() >= 4)
    else:
        wait_for(lambda: "in an order that cannot be foreseen, and many are left" in stream.ahead()["idle"])
    assert stream.ahead()["asked"] == 2
    assert stream.embedded() == (unfinished if prepared else [opened])


def test_a_label_studio_that_refuses_is_left_alone_and_the_task_opens(
    start_server: Any, studio: tuple[Studio, Path], access_token: str
) -> None:
    tasks = [{"id": 1, "data": {"image": "/data/upload/1/none.png"}}]

    def idle(token: str, project: str) -> str:
        server = start_server(LABEL_STUDIO_URL=studio[0].url, LABEL_STUDIO_API_KEY=token)

        def seen() -> dict[str, Any]:
            return dict(server.get("/status").json()["ahead"])

        server.post("/predict", predict_body(tasks, None, SPLIT_CONFIG, "../users"))
        for opened in (1, 2):
            answer = server.post("/predict", predict_body(tasks, None, SPLIT_CONFIG, project))
            assert (answer.status_code, answer.json()) == (200, {"results": [[]]})
            wait_for(lambda opened=opened: seen()["opened"] == opened and bool(seen()["idle"]))
        assert seen()["asked"] == 1
        return str(seen()["idle"])

    number = studio[0].call("POST", "/api/projects/", json={"title": "refusals", "label_config": SPLIT_CONFIG})["id"]
    assert idle("0" * 40, f"{number}.1") == f"Label Studio answered /api/projects/{number} with HTTP 401."
    assert "another Label Studio" in idle(access_token, f"{number}.1")
