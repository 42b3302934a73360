"""What is not ours stays as it is, and what was done to each project is told truthfully."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from samstudio import labeling_configs
from samstudio.labelstudio import LabelStudio, connect, ml_backends, own_records, projects
from samstudio.secret_store import API_TOKEN, SecretStore

from tools.tests import stand_in_backend
from tools.tests.commands import fails, invoke, run
from tools.tests.label_studio import RunningLabelStudio
from tools.tests.stand_in_backend import StandIn

Describe = Callable[..., Path]
pytestmark = pytest.mark.integration
TEXT = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'


@pytest.fixture
def ready(server: RunningLabelStudio, backend: StandIn, describe: Describe, request: pytest.FixtureRequest) -> Path:
    folder = describe(server, backend.url, title=request.node.name[-50:])
    run(folder, "token", "ensure")
    return folder


@pytest.fixture
def studio(ready: Path, server: RunningLabelStudio) -> Iterator[LabelStudio]:
    with connect(server.url, SecretStore(ready / "secrets").read(API_TOKEN)) as connection:
        for project in projects.all_projects(connection):
            connection.sdk.projects.delete(int(project.id or 0))
        yield connection


@pytest.fixture
def theirs() -> Iterator[StandIn]:
    """Somebody else's SAM 2, under the name that anybody gives one."""
    behaviour = stand_in_backend.Behaviour(user="somebody", password="their password")
    with stand_in_backend.running(behaviour=behaviour) as running:
        yield running


def make(studio: LabelStudio, title: str, config: str = "") -> int:
    return int(projects.create(studio, title, config or labeling_configs.read("quick_start")).id or 0)


def foreign_record(studio: LabelStudio, project: int, theirs: StandIn) -> int:
    wanted = ml_backends.Wanted(theirs.url, "SAM2", theirs.behaviour.user, theirs.behaviour.password)
    return int(studio.sdk.ml.create(project=project, **wanted.fields()).id or 0)


def addresses(studio: LabelStudio, project: int) -> dict[str, Any]:
    return {record.url: record.basic_auth_user for record in ml_backends.records(studio, project)}


def test_a_record_of_somebody_else_is_left_alone(
    ready: Path, studio: LabelStudio, backend: StandIn, theirs: StandIn
) -> None:
    number = make(studio, "shared")
    foreign = foreign_record(studio, number, theirs)
    assert run(ready, "register", "--project", str(number))["changed"]
    assert addresses(studio, number) == {theirs.url: "somebody", backend.url: stand_in_backend.USER}
    assert foreign in {record.id for record in ml_backends.records(studio, number)}
    assert not run(ready, "register", "--project", str(number))["changed"]


def test_our_own_record_follows_a_new_address_by_its_id(
    ready: Path, studio: LabelStudio, server: RunningLabelStudio, backend: StandIn, theirs: StandIn, describe: Describe
) -> None:
    number = make(studio, "moves")
    foreign_record(studio, number, theirs)
    made = run(ready, "register", "--project", str(number))["project"]["ml_backend"]["id"]
    assert made in own_records.OwnRecords(ready / own_records.NAME).ids(server.url)
    moved = backend.url.replace("127.0.0.1", "localhost")
    describe(server, moved)
    assert run(ready, "register", "--project", str(number))["project"]["ml_backend"]["id"] == made
    assert addresses(studio, number) == {theirs.url: "somebody", moved: stand_in_backend.USER}


def test_all_means_the_projects_that_show_an_image(ready: Path, studio: LabelStudio, backend: StandIn) -> None:
    images, text = make(studio, "images"), make(studio, "text", TEXT)
    result = run(ready, "register", "--all")
    assert [project["id"] for project in result["projects"]] == [images]
    assert addresses(studio, text) == {}


def test_all_of_nothing_is_nothing_to_look_at(ready: Path, studio: LabelStudio, backend: StandIn) -> None:
    make(studio, "text", TEXT)
    code, answer = invoke(ready, "register", "--all")
    assert code == 3
    assert "shows an image" in answer["error"]["message"]


def test_what_changed_is_told_for_each_project_when_one_fails(
    ready: Path, studio: LabelStudio, backend: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(studio, "first"), make(studio, "second")
    ensure = ml_backends.ensure

    def refused_for_the_second(connection: LabelStudio, project: int, *rest: Any, **named: Any) -> dict[str, Any]:
        if project == second:
            backend.behaviour.status["/health"] = 500
        return ensure(connection, project, *rest, **named)

    monkeypatch.setattr(ml_backends, "ensure", refused_for_the_second)
    code, result = invoke(ready, "register", "--all")
    assert code == 1
    assert (result["changed"], result["failed"]) == (True, 1)
    told = {project["id"]: (project["changed"], bool(project["error"])) for project in result["projects"]}
    assert told == {first: (True, False), second: (False, True)}
    assert addresses(studio, first) == {backend.url: stand_in_backend.USER}
    backend.behaviour.status.clear()
    monkeypatch.undo()
    assert run(ready, "register", "--all")["failed"] == 0


def test_a_project_that_was_made_before_it_failed_is_told(ready: Path, studio: LabelStudio, backend: StandIn) -> None:
    backend.behaviour.status["/health"] = 500
    code, answer = invoke(ready, "register")
    assert code == 1
    assert answer["changed"] is True
    assert len(projects.all_projects(studio)) == 1


def test_a_click_in_a_project_of_text_is_a_sentence(ready: Path, studio: LabelStudio, backend: StandIn) -> None:
    error = fails(ready, "click", "--project", str(make(studio, "text", TEXT)))
    assert error["link"] == "label-config"
    assert "no image to click" in error["message"]


def test_a_backend_below_a_path_is_registered_and_asked_there(
    ready: Path, backend: StandIn, studio: LabelStudio, server: RunningLabelStudio
) -> None:
    backend.behaviour.prefix = "/sam2"
    url = f"{backend.url}/sam2"
    run(ready, "samples", "draw")
    number = run(ready, "register", "--backend-url", url)["project"]["id"]
    (record,) = ml_backends.records(studio, number)
    assert (record.url, record.state) == (url, ml_backends.CONNECTED)
    assert {hook.url for hook in studio.sdk.webhooks.list(project=str(number))} == {f"{url}/webhook"}
    assert run(ready, "prewarm", str(number), "--backend-url", url)["accepted"] > 0
    assert run(ready, "click", "--backend-url", url)["iou"]["min"] == 1.0
    assert "GET /prewarm" in backend.behaviour.paths()
