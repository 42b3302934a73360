"""The commands that the roles call, in their order, against a real Label Studio and the stand-in backend."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from samstudio import labeling_configs, samples, summary
from samstudio.labelstudio import LabelStudio, connect, ml_backends, projects, tokens
from samstudio.labelstudio.session import sign_in
from samstudio.secret_store import API_TOKEN, SecretStore

from tools.tests import label_studio
from tools.tests.commands import fails, invoke, run
from tools.tests.label_studio import RunningLabelStudio
from tools.tests.stand_in_backend import StandIn

Describe = Callable[..., Path]
pytestmark = pytest.mark.integration


def title_of(request: pytest.FixtureRequest) -> str:
    """A project of its own for each test, within Label Studio's 50 characters."""
    return str(request.node.name)[-50:]


@pytest.fixture
def ready(server: RunningLabelStudio, backend: StandIn, describe: Describe, request: pytest.FixtureRequest) -> Path:
    """A described host with a token and drawn samples; a project title of its own for each test."""
    folder = describe(server, backend.url, title=title_of(request))
    run(folder, "token", "ensure")
    run(folder, "samples", "draw")
    return folder


@pytest.fixture
def studio(ready: Path, server: RunningLabelStudio) -> Iterator[LabelStudio]:
    with connect(server.url, SecretStore(ready / "secrets").read(API_TOKEN)) as connection:
        yield connection


def test_token_is_obtained_kept_rotated_and_replaced_when_lost(
    server: RunningLabelStudio, backend: StandIn, describe: Describe
) -> None:
    folder = describe(server, backend.url)
    store = SecretStore(folder / "secrets")
    assert run(folder, "token", "ensure", "--check")["changed"]
    assert not store.exists(API_TOKEN)
    assert run(folder, "token", "ensure")["changed"]
    assert stat.S_IMODE(store.path(API_TOKEN).stat().st_mode) == 0o600
    first = store.read(API_TOKEN)
    again = run(folder, "token", "ensure")
    assert (again["changed"], store.read(API_TOKEN)) == (False, first)
    assert run(folder, "token", "show")["email"] == server.email

    rotated = run(folder, "token", "rotate")
    assert (rotated["changed"], rotated["revoked"]) == (True, 1)
    assert not tokens.is_valid(server.url, first)

    store.path(API_TOKEN).unlink()
    lost = run(folder, "token", "ensure")
    assert (lost["changed"], lost["revoked"], lost["reason"]) == (True, 1, "no token is stored")


def test_a_wrong_password_is_named(server: RunningLabelStudio, backend: StandIn, describe: Describe) -> None:
    folder = describe(server, backend.url)
    SecretStore(folder / "secrets").write("label_studio_admin_password", "not the one")
    error = fails(folder, "token", "ensure")
    assert "password" in error["message"]
    assert "reset_password" in error["command"]


def test_registration_connects_clicks_and_then_changes_nothing(
    ready: Path, server: RunningLabelStudio, backend: StandIn
) -> None:
    assert run(ready, "register", "--check")["changed"]
    first = run(ready, "register")
    assert first["changed"]
    assert first["project"]["ml_backend"]["state"] == "CO"
    assert first["project"]["tasks_created"] == len(samples.SCENES)

    for argv in (["register"], ["register", "--check"]):
        again = run(ready, *argv)
        assert (again["changed"], again["did"], again["notes"]) == (False, [], [])

    clicked = run(ready, "click", "--summary")
    assert clicked["iou"] == {"min": 1.0, "mean": 1.0}
    console = Console(width=160, record=True)
    console.print(summary.panel(clicked["summary"]))
    assert first["project"]["url"] in console.export_text()
    assert len(clicked["clicks"]) == sum(len(scene.shapes) for scene in samples.SCENES)


def test_new_images_are_imported_once(ready: Path, server: RunningLabelStudio, backend: StandIn) -> None:
    run(ready, "register")
    user = server.images / "user"
    user.mkdir(exist_ok=True)
    (user / "below").mkdir(exist_ok=True)
    for name in ("one two.png", "below/three.png"):
        (user / name).write_bytes((server.images / "samples" / "sample-1.png").read_bytes())
    (user / "notes.txt").write_text("no image")
    assert run(ready, "register", "--check")["project"]["tasks_created"] == 2
    assert run(ready, "register")["project"]["tasks_created"] == 2
    again = run(ready, "register", "--check")
    assert (again["changed"], again["project"]["tasks_created"]) == (False, 0)
    assert "notes" in again["notes"][0] or "not imported" in again["notes"][0]


def test_a_changed_address_or_password_mends_the_one_record(
    ready: Path,
    server: RunningLabelStudio,
    studio: LabelStudio,
    backend: StandIn,
    describe: Describe,
    request: pytest.FixtureRequest,
) -> None:
    number = run(ready, "register")["project"]["id"]
    backend.behaviour.password = "another"
    SecretStore(ready / "secrets").write("backend_basic_auth_password", "another")
    assert run(ready, "register")["changed"]
    moved = backend.url.replace("127.0.0.1", "localhost")
    describe(server, moved, title=title_of(request))
    SecretStore(ready / "secrets").write("backend_basic_auth_password", "another")
    assert run(ready, "register")["changed"]
    assert not run(ready, "register")["changed"]
    assert [(record.url, record.state) for record in ml_backends.records(studio, number)] == [(moved, "CO")]
    hooks = studio.sdk.webhooks.list(project=str(number))
    assert [hook.url for hook in hooks] == [moved + "/webhook"]


def test_a_second_record_is_removed(
    ready: Path, server: RunningLabelStudio, studio: LabelStudio, backend: StandIn
) -> None:
    number = run(ready, "register")["project"]["id"]
    wanted = ml_backends.Wanted(backend.url, "another title", backend.behaviour.user, backend.behaviour.password)
    studio.sdk.ml.create(project=number, **wanted.fields())
    assert run(ready, "register")["changed"]
    assert len(ml_backends.records(studio, number)) == 1


def test_a_users_config_is_explained_and_left_alone(
    ready: Path, server: RunningLabelStudio, studio: LabelStudio, backend: StandIn
) -> None:
    theirs = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    number = int(projects.create(studio, "theirs", theirs).id or 0)
    result = run(ready, "register", "--project", str(number))
    assert any("smart" in note for note in result["notes"])
    assert projects.by_id(studio, number).label_config == theirs
    assert result["project"]["tasks_created"] == 0
    run(ready, "register", "--project", str(number), "--set-config")
    assert "smartOnly" in (projects.by_id(studio, number).label_config or "")


@pytest.mark.parametrize(
    ("spoil", "link", "found"),
    [
        ({"status": {"/predict": 500}}, "backend", "500"),
        ({"password": "changed under way"}, "backend-auth", "401"),
        ({"predict": "text"}, "backend", ""),
        ({"predict": "empty"}, "backend", "0 results"),
        ({"predict": "wrong-mask"}, "mask", "IoU"),
    ],
)
def test_a_click_that_fails_names_the_link(
    ready: Path, backend: StandIn, spoil: dict[str, Any], link: str, found: str
) -> None:
    run(ready, "register")
    for name, value in spoil.items():
        setattr(backend.behaviour, name, value)
    error = fails(ready, "click")
    assert error["link"] == link
    assert found in error["found"]


def test_a_backend_that_is_down_leaves_no_record(ready: Path, server: RunningLabelStudio, studio: LabelStudio) -> None:
    error = fails(ready, "register", "--backend-url", "http://127.0.0.1:9")
    assert error["link"] == "ml-backend"
    assert "health check failed" in error["found"]
    project = projects.all_projects(studio)[0]
    assert ml_backends.records(studio, int(project.id or 0)) == []


def test_a_timer_without_backups_is_not_healthy(ready: Path) -> None:
    run(ready, "register")
    assert run(ready, "status")["backups"]["scheduled"] is False
    described = (ready / "deployment.yml").read_text()
    (ready / "deployment.yml").write_text(f"{described}backups: {{timer: {ready}/no-such.timer}}\n")
    code, told = invoke(ready, "status")
    assert (code, told["healthy"], len(told["backups"]["wrong"])) == (1, False, 2)


def test_opening_a_task_asks_for_an_embedding_and_stores_nothing(
    ready: Path, server: RunningLabelStudio, studio: LabelStudio, backend: StandIn
) -> None:
    number = run(ready, "register")["project"]["id"]
    task = next(projects.tasks_with_image(studio, number, "image", "samples/"))["id"]
    backend.behaviour.seen.clear()
    opened = studio.http.get(f"/api/tasks/{task}")
    assert opened.status_code == httpx.codes.OK
    assert "POST /predict" in backend.behaviour.paths()
    assert opened.json()["predictions"] == []


def test_tasks_that_name_their_key_hide_none_of_ours(ready: Path, studio: LabelStudio, backend: StandIn) -> None:
    number = run(ready, "register")["project"]["id"]
    ours = list(projects.tasks_with_image(studio, number, "image", "samples/"))
    named = [{"image": "http://elsewhere.example/1.png"}]
    studio.http.post(f"/api/projects/{number}/import", json=named).raise_for_status()
    assert ours
    assert list(projects.tasks_with_image(studio, number, "image", "samples/")) == ours
    assert run(ready, "register")["changed"] is False


def test_imports_are_announced_with_basic_auth(ready: Path, server: RunningLabelStudio, backend: StandIn) -> None:
    run(ready, "register")
    announced = [body for method, path, body in backend.behaviour.seen if path == "/webhook"]
    assert any(body["action"] == "TASKS_CREATED" for body in announced)


def test_a_legacy_token_serves_as_well(
    ready: Path, server: RunningLabelStudio, backend: StandIn, tmp_path: Path
) -> None:
    with sign_in(server.url, server.email, server.password) as session:
        switches = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        session.post("/api/jwt/settings", json=switches).raise_for_status()
        legacy = session.get("/api/current-user/token").raise_for_status().json()["token"]
        file = tmp_path / "token"
        file.touch(mode=0o600)
        file.write_text(legacy)
        assert tokens.verify(server.url, legacy).kind == "legacy"
        assert run(ready, "register", "--token-file", str(file))["project"]["ml_backend"]["state"] == "CO"
        assert run(ready, "click", "--token-file", str(file))["iou"]["min"] == 1.0
        session.post("/api/jwt/settings", json={**switches, "legacy_api_tokens_enabled": False}).raise_for_status()
    error = fails(ready, "click", "--token-file", str(file))
    assert (error["link"], error["command"]) == ("token", "samstudio token ensure")


def test_all_projects_are_connected_and_their_configs_left_alone(
    ready: Path, server: RunningLabelStudio, studio: LabelStudio, backend: StandIn
) -> None:
    config = labeling_configs.read("tutorial")
    number = int(projects.create(studio, "another", config).id or 0)
    result = run(ready, "register", "--all")
    assert {project["ml_backend"]["state"] for project in result["projects"]} == {"CO"}
    assert len(result["projects"]) == len(projects.all_projects(studio))
    assert (projects.by_id(studio, number).label_config or "").strip() == config.strip()
    assert not run(ready, "register", "--all")["changed"]


def test_the_tutorials_config_clicks_as_well(ready: Path, server: RunningLabelStudio, backend: StandIn) -> None:
    run(ready, "register", "--config-name", "tutorial")
    assert run(ready, "click")["iou"]["min"] == 1.0


def test_signing_in_on_this_machine_works_behind_tls(
    tmp_path: Path, label_studio_cache: Path, backend: StandIn, describe: Describe
) -> None:
    """Label Studio marks its cookies for HTTPS alone; the tools ask it over loopback without."""
    settings = {"SESSION_COOKIE_SECURE": "1", "CSRF_COOKIE_SECURE": "1", "CSRF_COOKIE_HTTPONLY": "0"}
    with label_studio.running(tmp_path / "studio", label_studio_cache, settings=settings) as server:
        assert run(describe(server, backend.url), "token", "ensure")["changed"]
