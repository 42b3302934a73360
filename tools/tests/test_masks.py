"""samstudio masks, and Retrieve predictions: a real Label Studio, the real backend with the demo model, drawn boxes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from samstudio import backend_client, jobs, masks, patience, samples
from samstudio.labelstudio import LabelStudio, api_errors, connect, ml_backends, predictions, projects
from samstudio.patience import patiently
from samstudio.secret_store import API_TOKEN, SecretStore

from benchmarks import masks as benchmark
from tools.tests import backend as real_backend
from tools.tests import boxed_scenes, haproxy, servers
from tools.tests.backend import Model
from tools.tests.boxed_scenes import CONFIG, LABELS
from tools.tests.commands import TOOLS, fails, invoke, run
from tools.tests.label_studio import RunningLabelStudio

pytestmark = pytest.mark.integration
#: tasks of the job in whose middle everything is killed, in turn
KILLED = 300
VERSION = "masks of annotations (sam2.1_demo)"


@dataclass
class Project:
    """A project of drawn images. `scenes`: by task."""

    studio: LabelStudio
    number: int
    scenes: dict[int, boxed_scenes.Drawn]

    def tasks(self) -> list[dict[str, Any]]:
        """Asked again where Label Studio ends an idle connection at that very moment."""
        asked: dict[str, str | int] = {"project": self.number, "fields": "all", "page_size": 1000}

        def ask() -> list[dict[str, Any]]:
            with api_errors("list the tasks"):
                return list(self.studio.http.get("/api/tasks", params=asked).raise_for_status().json()["tasks"])

        return patiently(ask)

    def made(self) -> Counter[int]:
        """Predictions with masks, by task."""
        return Counter(
            {
                task["id"]: sum(each["model_version"].startswith("masks of") for each in task["predictions"])
                for task in self.tasks()
            }
        )

    def import_(self, tasks: list[dict[str, Any]]) -> None:
        self.studio.http.post(f"/api/projects/{self.number}/import", json=tasks).raise_for_status()


@pytest.fixture
def project(
    deployed: Path, server: RunningLabelStudio, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Project]]:
    """Makes a project whose tasks have their boxes in annotations, or in predictions of a model version."""
    with connect(server.url, SecretStore(deployed / "secrets").read(API_TOKEN)) as studio:

        def make(count: int, version: str = "", config: str = CONFIG, first: int = 0) -> Project:
            name = re.sub(r"\W", "", request.node.name)
            (server.images / name).mkdir()
            made = Project(studio, int(projects.create(studio, name[-50:], config).id or 0), {})
            drawn = {f"{number}.png": boxed_scenes.draw(number) for number in range(first, first + count)}
            for file, scene in drawn.items():
                (server.images / name / file).write_bytes(scene.png)
            made.import_([task_of(f"{name}/{file}", scene.boxes, version) for file, scene in drawn.items()])
            for task in made.tasks():
                made.scenes[task["id"]] = drawn[task["data"]["image"].rsplit("/")[-1]]
            return made

        yield make


def task_of(file: str, regions: list[dict[str, Any]], version: str = "") -> dict[str, Any]:
    data = {"image": f"/data/local-files/?d=images/{file}"}
    if version:
        return {"data": data, "predictions": [{"model_version": version, "result": regions}]}
    return {"data": data, "annotations": [{"result": regions}]}


def ious(project: Project, task: dict[str, Any], result: list[dict[str, Any]]) -> list[float]:
    """Of each mask with the object in whose box it is; the labels must be those of the boxes."""
    scene = project.scenes[task["id"]]
    labels = [item["value"]["brushlabels"] for item in result]
    assert labels == [box["value"]["rectanglelabels"] for box in scene.boxes]
    return [samples.iou(boxed_scenes.mask(item), truth) for item, truth in zip(result, scene.truths, strict=True)]


def test_every_box_becomes_a_mask_of_its_label(deployed: Path, model: Model, project: Callable[..., Project]) -> None:
    made = project(12)
    number, before = str(made.number), model.encodes()
    annotated = {task["id"]: task["annotations"] for task in made.tasks()}
    planned = run(deployed, "masks", number, "--dry-run")
    assert (planned["changed"], planned["tasks"], planned["boxes"], planned["masked"]) == (True, 12, 72, 0)
    assert not sum(made.made().values())

    first = run(deployed, "masks", number, "--limit", "5")
    assert (first["tasks"], first["masked"], first["masks"]) == (5, 5, 30)
    rest = run(deployed, "masks", number)
    assert (rest["already"], rest["masked"], rest["failures"], rest["problems"]) == (5, 7, [], [])
    assert model.encodes() - before == 12

    found: list[float] = []
    for task in made.tasks():
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == rest["model_version"] == VERSION
        found += ious(made, task, prediction["result"])
        assert 0 < prediction["score"] <= 1
        assert annotated[task["id"]] == task["annotations"]
    assert np.mean(found) >= 0.93, sorted(found)[:5]

    again = run(deployed, "masks", number)
    assert (again["changed"], again["masked"], again["already"]) == (False, 0, 12)
    assert model.encodes() - before == 12


def test_source_output_and_labels_are_chosen(deployed: Path, project: Callable[..., Project]) -> None:
    made = project(2, version="detector 1, v2")
    number = str(made.number)
    code, nothing = invoke(deployed, "masks", number)
    assert (code, "--from predictions" in nothing["error"]["command"]) == (3, True)
    named = run(deployed, "masks", number, "--from", "detector 1, v2", "--to", "polygon", "--label", LABELS[1])
    assert (named["masked"], named["masks"]) == (2, 6)
    assert invoke(deployed, "masks", number, "--from", "detector 1")[0] == 3
    everything = run(deployed, "masks", number, "--from", "predictions")
    assert (everything["masked"], everything["masks"]) == (2, 12)
    for task in made.tasks():
        by_version = {each["model_version"]: each["result"] for each in task["predictions"]}
        outlines = by_version[f"masks of {LABELS[1]} in detector 1, v2 as polygon (sam2.1_demo)"]
        assert [item["value"]["polygonlabels"] for item in outlines] == [[LABELS[1]]] * 3
        assert len(ious(made, task, by_version["masks of predictions (sam2.1_demo)"])) == 6


def test_a_label_without_a_control_is_named_before_anything_begins(
    deployed: Path, project: Callable[..., Project]
) -> None:
    made = project(2, config=CONFIG.replace('<Label value="tree"/>', ""))
    scene = boxed_scenes.draw(0)
    scene.boxes[0]["value"]["rectanglelabels"] = ["tree"]
    name = next(iter(made.tasks()))["data"]["image"].partition("images/")[2]
    made.import_([task_of(name, scene.boxes, "x")])
    error = fails(deployed, "masks", str(made.number), "--from", "predictions")
    assert error["found"] == "'tree' (1 boxes)"
    assert '<Label value="tree"/>' in error["expected"]
    assert "--label" in error["command"]
    assert not sum(made.made().values())
    taken = run(deployed, "masks", str(made.number), "--from", "predictions", "--label", LABELS[0])
    assert (taken["masked"], taken["masks"]) == (1, 2)


def test_what_is_wrong_with_one_task_is_said_and_the_others_go_on(
    deployed: Path, project: Callable[..., Project]
) -> None:
    made = project(3)
    scene = boxed_scenes.draw(0)
    flat = boxed_scenes.box("flat", LABELS[0], [10, 10, 9, 40], (768, 512))
    file = made.tasks()[0]["data"]["image"].partition("images/")[2]
    made.import_(
        [task_of("nothing/there.png", scene.boxes), task_of(file, [flat, scene.boxes[1]]), task_of(file, [flat])]
    )
    made.import_([{"data": {"image": f"/data/local-files/?d=images/{file}"}}])
    missing, partly, hopeless, boxless = [task["id"] for task in made.tasks()][-4:]
    code, result = invoke(deployed, "masks", str(made.number))
    assert (code, result["masked"], result["failed"], result["without_boxes"]) == (1, 4, 2, 1)
    reasons = {each["task"]: each["reason"] for each in result["failures"]}
    assert "no area" in reasons[hopeless]
    assert "refused the image" in reasons[missing]
    assert [each["task"] for each in result["problems"]] == [partly]
    assert "no area" in result["problems"][0]["problem"]
    counted = made.made()
    assert (counted[missing], counted[partly], counted[hopeless], counted[boxless]) == (0, 1, 0, 0)
    again, same = invoke(deployed, "masks", str(made.number))
    assert (again, same["masked"], set(reasons)) == (1, 0, {each["task"] for each in same["failures"]})


def test_failures_are_listed_with_their_reason_and_retried_alone(
    deployed: Path, model: Model, server: RunningLabelStudio, project: Callable[..., Project]
) -> None:
    made = project(2)
    scene = boxed_scenes.draw(0)
    file = made.tasks()[0]["data"]["image"].partition("images/")[2]
    made.import_([task_of(f"{made.number}-late.png", scene.boxes), task_of(f"{made.number}-never.png", scene.boxes)])
    late, never = [task["id"] for task in made.tasks()][-2:]
    assert invoke(deployed, "masks", str(made.number))[1]["failed"] == 2
    (job,) = run(deployed, "jobs", "list")["jobs"]
    assert [job[word] for word in ("state", "total", "done", "failed")] == ["done", 4, 2, 2]
    reasons = {each["task"]: each["reason"] for each in run(deployed, "jobs", "show", job["id"])["failures"]}
    assert set(reasons) == {late, never}
    assert "refused the image" in reasons[late]
    assert model.status()["jobs"] == []

    (server.images / f"{made.number}-late.png").write_bytes(scene.png)
    made.import_([task_of(file, scene.boxes)])
    unseen = made.tasks()[-1]["id"]
    code, again = invoke(deployed, "jobs", "resume", job["id"], "--failed")
    assert (code, again["tasks"], again["masked"]) == (1, 2, 1)
    assert [each["task"] for each in again["failures"]] == [never]
    counted = made.made()
    assert (counted[late], counted[never], counted[unseen]) == (1, 0, 0)
    assert invoke(deployed, "jobs", "resume", job["id"])[1]["masked"] == 1
    counted = made.made()
    assert (counted[late], counted[never], counted[unseen]) == (1, 0, 1)


def started(folder: Path, number: int) -> subprocess.Popen[str]:
    """The command as a process of its own, which can be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "samstudio", "--config-dir", str(folder), "masks", str(number), "--json"],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_worker(server: RunningLabelStudio) -> None:
    """Label Studio's one process that answers; gunicorn starts another."""
    (worker,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    servers.wait(f"{server.url}/health/", server.process, server.folder / "server.log", 400)


def wait_for_some(made: Project, some: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 400
    while patiently(partial(predictions.count_with, made.studio, made.number, VERSION)) < some:
        if process.poll() is not None:
            raise AssertionError(process.communicate())
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_anywhere_and_started_again_there_is_one_prediction_a_task(
    deployed: Path, model: Model, server: RunningLabelStudio, project: Callable[..., Project]
) -> None:
    """The tool, once by `jobs cancel`; then backend and Label Studio, which come back while the tool waits for them."""
    made = project(KILLED)
    ran = started(deployed, made.number)
    wait_for_some(made, 1, ran)
    (told,) = [job for job in model.status()["jobs"] if job["name"].startswith(f"masks-{made.number}-")]
    assert f'sam2_job_tasks{{job="{told["name"]}",tasks="total"}}' in model.metrics()
    os.killpg(ran.pid, signal.SIGKILL)
    ran.communicate()
    ran = started(deployed, made.number)
    while (job := jobs.named(told["name"])).process != ran.pid or job.progress.done < 20:
        assert ran.poll() is None, ran.communicate()
        time.sleep(0.02)
    cancelled = run(deployed, "jobs", "cancel", told["name"])["job"]
    _, said = ran.communicate(timeout=10)
    assert (ran.returncode, cancelled["state"]) == (-signal.SIGTERM, "cancelled")
    assert f"Ended as asked, while making masks: {cancelled['done']} of {cancelled['total']} tasks are over" in said
    stored = sum(made.made().values())
    assert stored == KILLED - cancelled["total"] + cancelled["done"] < KILLED
    assert model.status()["jobs"] == []
    ran = started(deployed, made.number)
    wait_for_some(made, stored + 1, ran)
    model.kill()
    assert sum(made.made().values()) < KILLED
    model.start()
    wait_for_some(made, stored + 51, ran)
    kill_worker(server)
    printed, said = ran.communicate(timeout=300)
    assert ran.returncode == 0, said
    assert json.loads(printed)["failed"] == 0
    assert set(made.made().values()) == {1}
    assert len(made.made()) == KILLED
    assert not run(deployed, "masks", str(made.number))["changed"]


def test_a_backend_that_stays_away_ends_it_with_a_reason(
    deployed: Path, model: Model, project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = project(2)
    monkeypatch.setattr(patience, "PATIENCE", 1.0)
    monkeypatch.setattr(patience, "PAUSE", 0.1)
    surveyed = masks.Job.survey

    def survey(job: masks.Job, limit: int = 0, only: Sequence[int] = ()) -> masks.Survey:
        found = surveyed(job, limit, only)
        model.kill()
        return found

    monkeypatch.setattr(masks.Job, "survey", survey)
    try:
        error = fails(deployed, "masks", str(made.number))
    finally:
        model.start()
    assert error["link"] == "backend"
    assert not sum(made.made().values())


def test_a_second_one_at_the_same_time_is_refused(
    deployed: Path, model: Model, project: Callable[..., Project]
) -> None:
    made = project(2)
    with backend_client.connect(model.url, real_backend.USER, real_backend.PASSWORD) as backend:
        first = masks.job(made.studio, backend, made.number, masks.Wanted())
    with first.alone():
        error = fails(deployed, "masks", str(made.number))
        assert "Another samstudio masks" in error["message"]
        assert run(deployed, "masks", str(made.number), "--label", LABELS[0])["masked"] == 2
    assert run(deployed, "masks", str(made.number))["masked"] == 2


def test_what_was_stored_meanwhile_is_not_stored_again(deployed: Path, project: Callable[..., Project]) -> None:
    """As when the process was killed after Label Studio got its last words."""
    made = project(3)
    wanted = [{"task": task, "result": [], "score": 0.5, "model_version": VERSION} for task in made.scenes]
    assert predictions.import_missing(made.studio, made.number, wanted[:2]) == 2
    assert predictions.import_missing(made.studio, made.number, [*wanted, {**wanted[0], "task": 10**6}]) == 1
    assert predictions.import_missing(made.studio, made.number, wanted) == 0
    assert set(made.made().values()) == {1}
    assert run(deployed, "masks", str(made.number))["already"] == 3


def test_retrieve_predictions_of_selected_tasks(
    deployed: Path, model: Model, server: RunningLabelStudio, project: Callable[..., Project]
) -> None:
    made = project(4)
    file = made.tasks()[0]["data"]["image"].partition("images/")[2]
    made.import_([{"data": {"image": f"/data/local-files/?d=images/{file}"}}])
    wanted = ml_backends.Wanted(model.url, "SAM2", real_backend.USER, real_backend.PASSWORD)
    made.studio.sdk.ml.create(project=made.number, **wanted.fields())
    made.studio.sdk.projects.update(made.number, model_version="SAM2")
    *boxed, boxless = [task["id"] for task in made.tasks()]
    for _ in range(2):
        selected = {"selectedItems": {"all": False, "included": [*boxed[:3], boxless]}}
        action = f"/api/dm/actions?project={made.number}&id=retrieve_tasks_predictions"
        made.studio.http.post(action, json=selected).raise_for_status()
        by_task = {task["id"]: task for task in made.tasks()}
        assert [len(by_task[task]["predictions"]) for task in (*boxed, boxless)] == [1, 1, 1, 0, 0]
    found = [iou for task in boxed[:3] for iou in ious(made, by_task[task], by_task[task]["predictions"][0]["result"])]
    assert np.mean(found) >= 0.93
    said = " ".join(error["message"] for error in model.status()["last_errors"])
    assert f"3 of 4 tasks of project {made.number} got masks for their boxes, 1 have no boxes or key points." in said


def test_the_benchmark_counts_what_it_says(deployed: Path, model: Model, server: RunningLabelStudio) -> None:
    with (
        connect(server.url, SecretStore(deployed / "secrets").read(API_TOKEN)) as studio,
        backend_client.connect(model.url, real_backend.USER, real_backend.PASSWORD) as backend,
    ):
        bench = benchmark.bench_of(studio, backend, server.images, model.process.pid)
        figures = benchmark.measure(bench, images=3, boxes=6, plain=1, clicks=3)
    assert (figures["boxes"], figures["encodes"], figures["predictions a task"]) == (18, 3, 1)
    assert figures["mean IoU"] >= 0.93


@dataclass
class Fleet:
    """Two backends behind a balancer. config: the folder of a deployment that has them."""

    config: Path
    url: str
    backends: list[Model]

    def encodes(self) -> list[int]:
        return [backend.encodes() for backend in self.backends]

    def jobs(self) -> list[list[str]]:
        """The names of the jobs that each shows."""
        return [[job["name"] for job in backend.status()["jobs"]] for backend in self.backends]

    def opened(self) -> tuple[int, int]:
        """Tasks that were opened, and how many of these were embedded before."""
        told = [backend.status()["ahead"] for backend in self.backends]
        return sum(each["opened"] for each in told), sum(each["ready"] for each in told)

    def wait(self, until: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 300
        while not until():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def fleet(deployed: Path, model: Model, server: RunningLabelStudio, tmp_path: Path) -> Iterator[Fleet]:
    folder = tmp_path / "second"
    # What was converted for the first one.
    shutil.copytree(model.folder / "cache", folder / "cache", ignore=shutil.ignore_patterns("embeddings"))
    second = Model(folder, server)
    try:
        addresses = {"gpu1": model.url.removeprefix("http://"), "gpu2": second.url.removeprefix("http://")}
        (tmp_path / "balancer").mkdir()
        with haproxy.running(tmp_path / "balancer", addresses) as (url, socket):
            described = yaml.safe_load((deployed / "deployment.yml").read_text())
            described["backend"].update(url=url, internal_url=url)
            described["balancer"] = {"socket": str(socket), "backends": [{"name": name} for name in addresses]}
            (deployed / "deployment.yml").write_text(yaml.safe_dump(described))
            yield Fleet(deployed, url, [model, second])
    finally:
        servers.stop(second.process, seconds=30)


def test_a_job_on_a_fleet_embeds_each_image_where_its_clicks_go(fleet: Fleet, project: Callable[..., Project]) -> None:
    before, made = fleet.encodes(), project(24, first=1000)  # no image that a test before this had embedded
    ran = started(fleet.config, made.number)
    names: list[set[str]] = [set(), set()]
    while ran.poll() is None:
        for seen, running in zip(names, fleet.jobs(), strict=True):
            seen.update(running)
    printed, said = ran.communicate(timeout=300)
    assert (ran.returncode, json.loads(printed)["masked"]) == (0, 24), said
    assert names[0] == names[1]
    (name,) = names[0]
    assert name.startswith(f"masks-{made.number}-")
    assert fleet.jobs() == [[], []]
    encoded, (opened, ready) = fleet.encodes(), fleet.opened()
    assert sum(encoded) - sum(before) == 24
    assert set(made.made().values()) == {1}
    for task in made.tasks():
        asked = {"project": f"{made.number}.1", "label_config": CONFIG, "tasks": [task], "params": {"context": None}}
        httpx.post(f"{fleet.url}/predict", json=asked, auth=(real_backend.USER, real_backend.PASSWORD), trust_env=False)
    deadline = time.monotonic() + 60
    while fleet.opened()[0] < opened + 24:
        assert time.monotonic() < deadline
    assert fleet.opened() == (opened + 24, ready + 24)
    assert all("samstudio prewarm" in backend.status()["ahead"]["idle"] for backend in fleet.backends)
    assert fleet.encodes() == encoded


def test_a_backend_of_a_fleet_that_dies_costs_only_time(fleet: Fleet, project: Callable[..., Project]) -> None:
    made = project(40)
    ran = started(fleet.config, made.number)
    fleet.wait(lambda: fleet.backends[1].encodes() >= 3, ran)
    fleet.backends[1].kill()
    assert sum(made.made().values()) < 40
    printed, said = ran.communicate(timeout=300)
    assert ran.returncode == 0, said
    assert [json.loads(printed)[word] for word in ("masked", "failed")] == [40, 0]
    assert set(made.made().values()) == {1}
    assert fleet.backends[0].status()["jobs"] == []
