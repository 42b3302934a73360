"""status and prewarm, and what a guard that is half open does to a registration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from samstudio import labeling_configs, prewarm, samples
from samstudio.cli import app
from samstudio.labelstudio import LabelStudio, connect, ml_backends, projects
from samstudio.secret_store import API_TOKEN, SecretStore
from typer.testing import CliRunner

from tools.tests import label_studio, stand_in_backend, stand_in_haproxy
from tools.tests.commands import fails, invoke, run
from tools.tests.label_studio import RunningLabelStudio
from tools.tests.stand_in_backend import StandIn
from tools.tests.stand_in_haproxy import HAProxy
from tools.tests.test_exports import clean

Describe = Callable[..., Path]
pytestmark = pytest.mark.integration


@contextmanager
def connected(folder: Path) -> Iterator[LabelStudio]:
    url = yaml.safe_load((folder / "deployment.yml").read_text())["label_studio"]["url"]
    with connect(url, SecretStore(folder / "secrets").read(API_TOKEN)) as studio:
        yield studio


@pytest.fixture
def deployed(server: RunningLabelStudio, backend: StandIn, describe: Describe) -> Path:
    folder = describe(server, backend.url)
    run(folder, "token", "ensure")
    run(folder, "samples", "draw")
    run(folder, "register")
    return folder


def test_status_shows_versions_model_and_projects(deployed: Path, server: RunningLabelStudio, backend: StandIn) -> None:
    status = run(deployed, "status")
    assert status["healthy"]
    assert status["label_studio"]["version"] == server.version
    assert status["backend"]["model"]["demo"] is True
    assert [project["state"] for project in status["projects"]["connected"]] == ["CO"]
    shown = CliRunner().invoke(app, ["--config-dir", str(deployed), "status"])
    assert server.version in shown.stdout
    assert "demo model" in shown.stdout


def test_status_counts_exports_which_label_studio_names_as_the_cleaning_expects(
    deployed: Path, server: RunningLabelStudio
) -> None:
    described = yaml.safe_load((deployed / "deployment.yml").read_text())
    described["label_studio"]["data"] = str(server.folder / "data")
    (deployed / "deployment.yml").write_text(yaml.safe_dump(described))
    with connected(deployed) as studio:
        number = projects.number_of(studio, "SAM2 quick start")
        studio.http.get(f"/api/projects/{number}/export", params={"exportType": "JSON"}).raise_for_status()
    folder = server.folder / "data" / "export"
    there = list(folder.iterdir())
    assert run(deployed, "status")["exports"] == {"files": 2, "bytes": sum(path.stat().st_size for path in there)}
    for path in there:
        os.utime(path, (0, 0))
    clean(folder)
    assert run(deployed, "status")["exports"] == {"files": 0, "bytes": 0}


def test_status_survives_what_does_not_answer(deployed: Path, server: RunningLabelStudio, describe: Describe) -> None:
    describe(server, "http://127.0.0.1:9")
    code, status = invoke(deployed, "status")
    assert (code, status["healthy"]) == (1, False)
    assert status["label_studio"]["health"] == "UP"
    assert status["backend"]["error"]["link"] == "backend"
    shown = CliRunner().invoke(app, ["--config-dir", str(deployed), "status"])
    assert shown.exit_code == 1
    assert "no answer from a SAM2 backend" in shown.stdout


def test_prewarm_hands_over_each_image_once(deployed: Path, backend: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(run(deployed, "register")["project"]["id"])
    monkeypatch.setattr(prewarm, "BATCH", 2)
    first = run(deployed, "prewarm", number)
    assert (first["changed"], first["accepted"], first["failed"]) == (True, len(samples.SCENES), 0)
    again = run(deployed, "prewarm", number)
    assert (again["changed"], again["already"]) == (False, len(samples.SCENES))
    bodies = [body for method, path, body in backend.behaviour.seen if (method, path) == ("POST", "/prewarm")]
    assert [len(body["tasks"]) for body in bodies] == [2, 1, 2, 1]
    assert all("image" in task["data"] for body in bodies for task in body["tasks"])


def test_an_image_that_fails_in_an_earlier_batch_is_counted(
    deployed: Path, backend: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend's view of its queue begins anew with each batch; the failure is in none of it at the end."""
    number = str(run(deployed, "register")["project"]["id"])
    monkeypatch.setattr(prewarm, "BATCH", 1)
    with connected(deployed) as studio:
        first = next(projects.tasks(studio, int(number)))["id"]
    backend.behaviour.broken = {first}
    code, result = invoke(deployed, "prewarm", number)
    assert (result["embedded"], result["failed"]) == (len(samples.SCENES) - 1, 1)
    assert code == 1


def test_a_backend_that_restarts_meanwhile_has_not_embedded(deployed: Path, backend: StandIn) -> None:
    number = str(run(deployed, "register")["project"]["id"])
    backend.behaviour.forgets = True
    code, result = invoke(deployed, "prewarm", number)
    assert (code, result["embedded"], result["lost"]) == (1, 0, len(samples.SCENES))


def test_a_project_without_tasks_is_not_prewarmed(deployed: Path, server: RunningLabelStudio) -> None:
    with connected(deployed) as studio:
        empty = projects.create(studio, "empty", labeling_configs.read("quick_start"))
    code, answer = invoke(deployed, "prewarm", str(empty.id))
    assert code == 3
    assert "no task" in answer["error"]["message"]


def test_nothing_connected_is_not_healthy(deployed: Path, describe: Describe, server: RunningLabelStudio) -> None:
    with stand_in_backend.running() as unconnected:
        describe(server, unconnected.url)
        code, status = invoke(deployed, "status")
        assert status["backend"]["state"] == "ready"
        assert (code, status["healthy"], status["projects"]["connected"]) == (1, False, [])
        shown = CliRunner().invoke(app, ["--config-dir", str(deployed), "status"])
        assert "none is connected" in shown.stdout
        assert f"asking the backend at {unconnected.url}" in shown.stderr
        assert server.email in shown.stdout


def test_prewarm_names_a_wrong_password(deployed: Path, backend: StandIn) -> None:
    backend.behaviour.password = "another"
    assert fails(deployed, "prewarm", "1")["link"] == "backend-auth"


def test_a_guard_that_is_half_open_leaves_no_half_record(
    tmp_path: Path, label_studio_cache: Path, backend: StandIn, describe: Describe
) -> None:
    """ML_BLOCK_LOCAL_IP=false alone: Label Studio saves the record, then refuses its webhook."""
    settings = {"ML_BLOCK_LOCAL_IP": "false"}
    with label_studio.running(tmp_path / "studio", label_studio_cache, settings=settings) as server:
        folder = describe(server, backend.url)
        run(folder, "token", "ensure")
        error = fails(folder, "register")
        assert "reserved network address" in error["found"]
        assert "ssrf" in error["command"]
        with connect(server.url, SecretStore(folder / "secrets").read(API_TOKEN)) as studio:
            (project,) = projects.all_projects(studio)
            assert ml_backends.records(studio, int(project.id or 0)) == []


def test_prewarm_goes_on_watching_what_still_waits(deployed: Path, backend: StandIn) -> None:
    """After Ctrl-C everything is known to the backend already, and yet not done."""
    number = run(deployed, "register")["project"]["id"]
    run(deployed, "prewarm", str(number))
    backend.behaviour.waiting = 2
    backend.behaviour.seen.clear()
    assert not run(deployed, "prewarm", str(number))["changed"]
    assert backend.behaviour.paths().count("GET /prewarm") == 3


@pytest.fixture
def fleet(deployed: Path, backend: StandIn, tmp_path: Path) -> Iterator[HAProxy]:
    """Two backends behind a balancer, by its word; in truth both names are the one stand-in."""
    with stand_in_haproxy.running(tmp_path, backend.url.removeprefix("http://")) as haproxy:
        described = yaml.safe_load((deployed / "deployment.yml").read_text())
        described["balancer"] = {"socket": str(haproxy.path)}
        (deployed / "deployment.yml").write_text(yaml.safe_dump(described))
        yield haproxy


def test_status_of_a_fleet_is_unhealthy_while_a_backend_is_down(deployed: Path, fleet: HAProxy) -> None:
    assert [server["state"] for server in run(deployed, "status")["backends"]["servers"]] == ["UP", "UP"]
    fleet.states["gpu2"] = "DOWN"
    code, status = invoke(deployed, "status")
    assert (code, status["healthy"]) == (1, False)


def test_prewarm_of_a_fleet_asks_for_one_task_at_a_time(deployed: Path, fleet: HAProxy, backend: StandIn) -> None:
    number = str(run(deployed, "register")["project"]["id"])
    assert run(deployed, "prewarm", number)["accepted"] == len(samples.SCENES)
    bodies = [body for method, path, body in backend.behaviour.seen if (method, path) == ("POST", "/prewarm")]
    assert [len(body["tasks"]) for body in bodies] == [1] * len(samples.SCENES)


def test_one_backend_of_a_fleet_is_clicked_past_label_studio(deployed: Path, fleet: HAProxy, backend: StandIn) -> None:
    assert run(deployed, "backends", "click", "gpu2")["iou"]["min"] == 1.0
    backend.behaviour.predict = "wrong-mask"
    assert fails(deployed, "backends", "click", "gpu2")["link"] == "mask"
    backend.behaviour.password = "another"
    assert fails(deployed, "backends", "click", "gpu2")["link"] == "backend-auth"


def test_backend_is_not_clicked_before_there_is_a_project(
    tmp_path: Path, fleet: HAProxy, deployed: Path, backend: StandIn
) -> None:
    described = yaml.safe_load((deployed / "deployment.yml").read_text())
    described["project"]["title"] = "not made yet"
    (deployed / "deployment.yml").write_text(yaml.safe_dump(described))
    backend.behaviour.seen.clear()
    code, answer = invoke(deployed, "backends", "click", "gpu1")
    assert code == 3, answer
    assert "no project" in answer["error"]["message"]
    assert backend.behaviour.seen == []


def clicked(folder: Path) -> dict[str, dict[str, float]]:
    """What the click probe tells, by way and by metric."""
    file = folder.parent / "samstudio.prom"
    told = [each for each in run(folder, "metrics", "--to", str(file))["metrics"] if "through" in each["labels"]]
    ways = {each["labels"]["through"] for each in told}
    return {way: {each["name"]: each["value"] for each in told if each["labels"]["through"] == way} for way in ways}


def test_the_click_probe_tells_each_way_what_it_gave(deployed: Path, fleet: HAProxy, backend: StandIn) -> None:
    described = yaml.safe_load((deployed / "deployment.yml").read_text())
    described["balancer"]["backends"] = [{"name": "gpu1"}, {"name": "gpu2"}]
    (deployed / "deployment.yml").write_text(yaml.safe_dump(described))
    good = clicked(deployed)
    assert set(good) == {"label-studio", "gpu1", "gpu2"}
    assert {each["samstudio_click_right"] for each in good.values()} == {1}
    assert {each["samstudio_click_lowest_iou"] for each in good.values()} == {1}
    assert all(0 < each["samstudio_click_median_seconds"] < 60 for each in good.values())
    backend.behaviour.predict = "wrong-mask"
    wrong = clicked(deployed)
    assert {each["samstudio_click_right"] for each in wrong.values()} == {0}
    assert all(each["samstudio_click_lowest_iou"] < 0.8 for each in wrong.values())
    last = "samstudio_click_last_right_timestamp_seconds"
    assert {way: each[last] for way, each in wrong.items()} == {
        way: pytest.approx(each[last]) for way, each in good.items()
    }
