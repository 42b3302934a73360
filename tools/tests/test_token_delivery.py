"""A rotated token or password reaches the backend and Label Studio, and no click is lost: a real Label Studio."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from samstudio import deployment, verification
from samstudio.commands.common import studio
from samstudio.deployment import Deployment
from samstudio.labelstudio import ml_backends, projects
from samstudio.output import say
from samstudio.rotation import backend as rotated
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore
from samstudio.token_delivery import FOLDER

from tools.tests import stand_in_backend
from tools.tests.commands import fails, run
from tools.tests.label_studio import RunningLabelStudio

pytestmark = pytest.mark.integration

Describe = Callable[..., Path]
TITLE = "rotated"


class Reading(stand_in_backend.Behaviour):
    """Takes each line of its copy, and reads it whenever it is asked, as the backend does (backend/tests/server)."""

    copy: Path

    def accepts(self, password: str) -> bool:
        return password in self.copy.read_text().splitlines()


@pytest.fixture
def pair(server: RunningLabelStudio, describe: Describe, tmp_path: Path) -> Iterator[tuple[Path, Reading]]:
    """A configuration folder, and the backend that has copies of its secrets; drawn samples are clicked through it."""
    behaviour = Reading()
    behaviour.copy = tmp_path / "etc" / FOLDER / BACKEND_PASSWORD
    with stand_in_backend.running(behaviour=behaviour) as backend:
        folder = describe(server, backend.url, TITLE)
        behaviour.copy.parent.mkdir()
        for name in (BACKEND_PASSWORD, API_TOKEN):
            (folder / FOLDER / name).write_text("of before\n")
            (folder / FOLDER / name).chmod(0o440)
        run(folder, "token", "ensure")
        run(folder, "samples", "draw")
        run(folder, "register")
        yield folder, behaviour
        with studio(deployment.load(folder)) as connection:
            for project in projects.all_projects(connection):
                connection.sdk.projects.delete(int(project.id or 0))


def test_a_rotated_token_is_the_backends_too(pair: tuple[Path, Reading], server: RunningLabelStudio) -> None:
    folder, _ = pair
    store, copy = SecretStore(folder / "secrets"), folder / FOLDER / API_TOKEN
    first = store.read(API_TOKEN)
    assert copy.read_text().strip() == first
    assert run(folder, "token", "rotate", "--check")["changed"]
    assert store.read(API_TOKEN) == first
    assert run(folder, "token", "rotate")["did"] == ["gave the backend the token"]
    second = store.read(API_TOKEN)
    assert second != first
    assert copy.read_text().strip() == second
    assert stat.S_IMODE(copy.stat().st_mode) == 0o440
    refused = httpx.post(f"{server.url}/api/token/refresh/", json={"refresh": first}, trust_env=False)
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    valid = {"changed": False, "revoked": 0, "reason": "the stored token is valid", "did": []}
    assert run(folder, "token", "ensure") == valid


def test_a_token_of_several_backends_is_not_rotated(server: RunningLabelStudio, describe: Describe) -> None:
    folder = describe(server, "http://127.0.0.1:9")
    store = SecretStore(folder / "secrets")
    run(folder, "token", "ensure")
    first = store.read(API_TOKEN)
    described = yaml.safe_load((folder / "deployment.yml").read_text())
    described["balancer"] = {"socket": "/run/haproxy.sock"}
    (folder / "deployment.yml").write_text(yaml.safe_dump(described))
    for words in (("token", "rotate"), ("secrets", "rotate", API_TOKEN)):
        assert "several backends" in fails(folder, *words)["message"]
    assert store.read(API_TOKEN) == first
    assert run(folder, "token", "show")["email"] == server.email


def test_clicks_work_before_and_after_each_step_of_the_backends_new_password(
    pair: tuple[Path, Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, behaviour = pair
    found, steps = deployment.load(folder), []

    def clicked_around(step: str) -> Callable[..., Any]:
        original = getattr(rotated, step)

        def taken(*arguments: Any) -> Any:
            click(found)
            done = original(*arguments)
            click(found)
            steps.append(step)
            return done

        return taken

    for step in ("_require_accepted", "_give"):
        monkeypatch.setattr(rotated, step, clicked_around(step))
    store = SecretStore(folder / "secrets")
    first = store.read(BACKEND_PASSWORD)
    assert run(folder, "secrets", "rotate", BACKEND_PASSWORD, "--check")["rotated"] == [BACKEND_PASSWORD]
    assert (store.read(BACKEND_PASSWORD), store.unfinished()) == (first, [])
    done = run(folder, "secrets", "rotate", BACKEND_PASSWORD)
    click(found)
    assert steps == ["_require_accepted", "_give"]
    second = store.read(BACKEND_PASSWORD)
    assert second != first
    assert store.unfinished() == []
    assert behaviour.copy.read_text() == f"{second}\n"
    assert first not in str(done) + str(behaviour.seen)
    assert second not in str(done) + str(behaviour.seen)
    assert run(folder, "register")["did"] == [], "the webhook has the new password, too"
    assert run(folder, "status")["healthy"]


@pytest.mark.parametrize("point", ["records", "_ensure_webhook"])
def test_a_kill_leaves_clicks_that_work_and_the_same_command_ends_it(
    pair: tuple[Path, Reading], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = pair
    store, found = SecretStore(folder / "secrets"), deployment.load(folder)
    first = store.read(BACKEND_PASSWORD)
    child = os.fork()
    if not child:
        monkeypatch.setattr(ml_backends, point, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        run(folder, "secrets", "rotate", BACKEND_PASSWORD)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert run(folder, "status")["unfinished_rotation"] == [BACKEND_PASSWORD]
    run(folder, "token", "ensure")
    click(found)
    _, second = store.content(BACKEND_PASSWORD).splitlines()
    run(folder, "secrets", "rotate", BACKEND_PASSWORD)
    assert (store.content(BACKEND_PASSWORD), store.unfinished()) == (second, [])
    assert second != first
    click(found)


def test_a_backend_that_does_not_know_the_new_password_stops_it(pair: tuple[Path, Reading]) -> None:
    folder, behaviour = pair
    first = behaviour.copy.read_text()
    elsewhere = behaviour.copy.with_name("elsewhere")
    elsewhere.write_text(first)
    behaviour.copy = elsewhere
    error = fails(folder, "secrets", "rotate", BACKEND_PASSWORD)
    assert "The old one goes on working" in error["message"]
    click(deployment.load(folder))
    elsewhere.write_text(SecretStore(folder / "secrets").content(BACKEND_PASSWORD))
    assert run(folder, "secrets", "rotate", BACKEND_PASSWORD)["rotated"] == [BACKEND_PASSWORD]


def click(found: Deployment) -> None:
    """Click the drawn samples through Label Studio; one click that fails is an error."""
    with studio(found) as connection:
        assert verification.click_quick_start(connection, found, say)
