"""samstudio masks --coco and --yolo: drawn images and their boxes in a file, a real Label Studio, the real backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from samstudio import jobs, samples
from samstudio.datasets import places
from samstudio.labelstudio import LabelStudio, connect, label_config, ml_backends, projects
from samstudio.patience import patiently
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore

from tools.tests import backend as real_backend
from tools.tests import boxed_scenes
from tools.tests.backend import Model
from tools.tests.boxed_scenes import LABELS
from tools.tests.commands import TOOLS, fails, invoke, run
from tools.tests.label_studio import RunningLabelStudio

pytestmark = pytest.mark.integration
VERSION, MASKS = "boxes (instances.json)", "masks of instances.json (sam2.1_demo)"
#: images of the import in whose middle the tool is killed
KILLED = 160


@dataclass
class Source:
    """Drawn images in a folder, and their boxes. `scenes`: by file name."""

    folder: Path
    scenes: dict[str, boxed_scenes.Drawn]

    def coco(self, file: Path, **more: list[Any]) -> Path:
        """As a COCO file; `more` is added to its lists."""
        listed: dict[str, list[Any]] = {
            "categories": [{"id": number, "name": label} for number, label in enumerate(LABELS)],
            "images": [
                {"id": number, "file_name": name, "width": 768, "height": 512}
                for number, name in enumerate(self.scenes)
            ],
            "annotations": [
                {"id": 100 * number + at, "image_id": number, "category_id": at % 2, "bbox": list(_pixels(region))}
                for number, scene in enumerate(self.scenes.values())
                for at, region in enumerate(scene.boxes)
            ],
        }
        file.write_text(json.dumps({key: [*entries, *more.get(key, ())] for key, entries in listed.items()}))
        return file

    def yolo(self, file: Path) -> Path:
        """As YOLO's text files beside the images."""
        file.write_text(yaml.safe_dump({"names": list(LABELS)}))
        for name, scene in self.scenes.items():
            lines = []
            for at, region in enumerate(scene.boxes):
                left, top, width, height = _pixels(region)
                shares = ((left + width / 2) / 768, (top + height / 2) / 512, width / 768, height / 512)
                lines.append(f"{at % 2} {' '.join(map(str, shares))}")
            (self.folder / name).with_suffix(".txt").write_text("\n".join(lines))
        return file


def _pixels(region: dict[str, Any]) -> tuple[float, ...]:
    value = region["value"]
    return tuple(value[side] * (768 if side in ("x", "width") else 512) / 100 for side in ("x", "y", "width", "height"))


def draw(folder: Path, count: int) -> Source:
    names = [f"{'train' if number % 2 else 'a b'}/{number}.png" for number in range(count)]
    scenes = {name: boxed_scenes.draw(number) for number, name in enumerate(names)}
    for name, scene in scenes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(scene.png)
    return Source(folder, scenes)


@pytest.fixture
def studio(deployed: Path, server: RunningLabelStudio) -> Iterator[LabelStudio]:
    """Whose document root is the deployment's folder of images, as in a deployed one."""
    described = yaml.safe_load((deployed / "deployment.yml").read_text())
    root = str(server.folder / "documents")
    described["images"] = {"host_root": root, "container_root": root, "user": ""}
    (deployed / "deployment.yml").write_text(yaml.safe_dump(described))
    with connect(server.url, SecretStore(deployed / "secrets").read(API_TOKEN)) as connection:
        yield connection


@pytest.fixture
def served(server: RunningLabelStudio, request: pytest.FixtureRequest) -> Path:
    """A folder that Label Studio serves."""
    folder: Path = server.folder / "documents" / "user" / request.node.name
    folder.mkdir(parents=True)
    return folder


def tasks_of(studio: LabelStudio, project: int) -> list[dict[str, Any]]:
    asked: dict[str, str | int] = {"project": project, "fields": "all", "page_size": 1000}
    return list(studio.http.get("/api/tasks", params=asked).raise_for_status().json()["tasks"])


def versions(task: dict[str, Any]) -> list[str]:
    return sorted(each["model_version"] for each in task["predictions"])


def check_masks(studio: LabelStudio, project: int, source: Source, version: str) -> None:
    """One prediction of the boxes and one of the masks, whose objects and labels are right."""
    found = []
    for task in tasks_of(studio, project):
        assert len(task["predictions"]) == 2, versions(task)
        assert task["annotations"] == []
        scene = source.scenes[unquote(task["data"]["image"]).partition(f"{source.folder.name}/")[2]]
        (result,) = [each["result"] for each in task["predictions"] if each["model_version"] == version]
        brushes = [item for item in result if item["type"] == "brush"]
        named = [item["value"]["labels"] for item in result if item["type"] == "labels"]
        assert named == [box["value"]["rectanglelabels"] for box in scene.boxes]
        found += [
            samples.iou(boxed_scenes.mask(item), truth) for item, truth in zip(brushes, scene.truths, strict=True)
        ]
    assert len(found) == 6 * len(source.scenes)
    assert np.mean(found) >= 0.93


def test_a_coco_file_of_served_images_becomes_a_project_with_masks(
    deployed: Path, model: Model, studio: LabelStudio, served: Path, tmp_path: Path
) -> None:
    source = draw(served, 6)
    file = str(source.coco(tmp_path / "instances.json"))
    words = ("masks", "--coco", file, "--images", str(served), "--title", "served")
    planned = run(deployed, *words, "--dry-run")
    assert (planned["project"], planned["tasks"], planned["boxes"], planned["changed"]) == (None, 6, 36, True)
    assert (planned["imported"]["made"], planned["imported"]["tasks"], planned["imported"]["boxed"]) == (True, 6, 6)
    assert projects.by_title(studio, "served") is None
    before = model.encodes()

    made = run(deployed, *words)
    assert (made["masked"], made["masks"], made["model_version"]) == (6, 36, MASKS)
    imported = made["imported"]
    assert (imported["made"], imported["tasks"], imported["boxed"], imported["already"]) == (True, 6, 6, 0)
    assert (imported["failures"], imported["problems"], imported["notes"]) == ([], [], [])
    project = projects.by_id(studio, made["project"])
    assert {control.labels for control in label_config.parse(project.label_config or "").controls} == {LABELS}
    assert [record.state for record in ml_backends.records(studio, made["project"])] == [ml_backends.CONNECTED]
    check_masks(studio, made["project"], source, MASKS)
    assert model.encodes() - before == 6
    shown = studio.http.get(tasks_of(studio, made["project"])[0]["data"]["image"])
    assert shown.headers["content-type"] == "image/png"

    again = run(deployed, *words)
    assert (again["changed"], again["masked"], again["already"]) == (False, 0, 6)
    assert (again["imported"]["tasks"], again["imported"]["boxed"], again["imported"]["already"]) == (0, 0, 6)
    assert len(tasks_of(studio, made["project"])) == 6
    planned = run(deployed, *words, "--dry-run")
    assert (planned["changed"], planned["tasks"], planned["already"], planned["imported"]["tasks"]) == (False, 0, 6, 0)


@pytest.fixture
def trusted(deployed: Path, server: RunningLabelStudio, describe: Callable[..., Path], tmp_path: Path) -> Iterator[str]:
    """A backend that has a token for Label Studio, as a deployed one has, and reads uploads with it."""
    token = deployed / "secrets" / API_TOKEN
    with real_backend.running(tmp_path / "trusted", studio_url=server.url, token_file=token) as url:
        describe(server, url)
        SecretStore(deployed / "secrets").write(BACKEND_PASSWORD, real_backend.PASSWORD)
        yield url


@pytest.mark.usefixtures("trusted")
def test_yolo_boxes_of_images_elsewhere_are_uploaded(deployed: Path, studio: LabelStudio, tmp_path: Path) -> None:
    source = draw(tmp_path / "photos", 4)
    (tmp_path / "photos" / "empty.png").write_bytes(boxed_scenes.draw(99).png)
    names = str(source.yolo(tmp_path / "data.yaml"))
    words = ("masks", "--yolo", names, "--images", str(source.folder))
    made = run(deployed, *words)
    assert (made["imported"]["title"], made["imported"]["images"], made["imported"]["how"]) == (
        "Boxes of data.yaml",
        5,
        "uploaded",
    )
    assert (made["masked"], made["masks"], made["without_boxes"]) == (4, 24, 1)
    keyed = {places.Uploads().key_of(task["data"]["image"]): task for task in tasks_of(studio, made["project"])}
    assert len(keyed) == 5
    again = run(deployed, *words)
    assert (again["changed"], again["imported"]["tasks"], len(tasks_of(studio, made["project"]))) == (False, 0, 5)


def test_what_is_wrong_in_a_file_is_said_and_the_others_go_on(
    deployed: Path, studio: LabelStudio, served: Path, tmp_path: Path
) -> None:
    source = draw(served, 2)
    first = {"image_id": 0, "category_id": 0}
    file = source.coco(
        tmp_path / "instances.json",
        images=[
            {"id": 50, "file_name": "none.png", "width": 768, "height": 512},
            {"id": 51, "file_name": "train/1.png", "width": 512, "height": 768},
        ],
        annotations=[
            {"id": 900, **first, "bbox": [10, 10, 0, 5]},
            {"id": 901, **first, "bbox": [900, 10, 20, 20]},
            {"id": 902, **first, "bbox": [10, 10, 5]},
            {"id": 903, "image_id": 77, "category_id": 0, "bbox": [1, 1, 9, 9]},
        ],
    )
    words = ("masks", "--coco", str(file), "--images", str(served), "--title", "wrong")
    for _ in range(2):
        code, result = invoke(deployed, *words)
        assert (code, result["failed"], result["imported"]["images"]) == (1, 0, 2)
        reasons = {each["file"]: each["reason"] for each in result["imported"]["failures"]}
        assert "no such file" in reasons["none.png"]
        assert "512x768, but the file, upright, is 768x512" in reasons["train/1.png"]
        problems = [each["problem"] for each in result["imported"]["problems"]]
        assert len(problems) == 4
        for expected in ("no area", "outside", "four numbers", "image 77"):
            assert any(expected in text for text in problems), expected
    assert result["already"] == 2
    (job,) = run(deployed, "jobs", "list")["jobs"]
    shown = run(deployed, "jobs", "show", job["id"])
    assert {each["file"] for each in shown["failures"]} == {"none.png", "train/1.png"}
    assert len(shown["problems"]) == 4


def test_a_project_of_ones_own_gets_tasks_and_keeps_its_config(
    deployed: Path, studio: LabelStudio, served: Path, tmp_path: Path
) -> None:
    source = draw(served, 2)
    file = str(source.coco(tmp_path / "instances.json"))
    lacking = boxed_scenes.CONFIG.replace('<Label value="cell"/>', "").replace("<Label value='cell'/>", "")
    own = int(projects.create(studio, "lacking", lacking).id or 0)
    error = fails(deployed, "masks", str(own), "--coco", file, "--images", str(served))
    assert error["found"] == "'cell'"
    assert '<Label value="cell"/> in a <RectangleLabels>' in error["expected"]
    assert tasks_of(studio, own) == []

    projects.set_config(studio, own, boxed_scenes.CONFIG)
    projects.import_tasks(studio, own, [{"image": f"/data/local-files/?d=user/{served.name}/a%20b/0.png"}])
    made = run(deployed, "masks", str(own), "--coco", file, "--images", str(served))
    assert (made["imported"]["made"], made["imported"]["tasks"], made["imported"]["boxed"]) == (False, 1, 2)
    assert (made["masked"], ml_backends.records(studio, own)) == (2, [])
    assert projects.by_id(studio, own).label_config == boxed_scenes.CONFIG
    assert [versions(task) for task in tasks_of(studio, own)] == [[VERSION, MASKS]] * 2

    changed = json.loads(Path(file).read_text())
    changed["annotations"][0]["bbox"][2] /= 2
    Path(file).write_text(json.dumps(changed))
    told = run(deployed, "masks", str(own), "--coco", file, "--images", str(served))
    (problem,) = told["imported"]["problems"]
    assert (problem["file"], "other boxes" in problem["problem"], told["changed"]) == ("a b/0.png", True, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Which project"),
        (("--coco", "x.json"), "Where are the images"),
        (("--coco", "x.json", "--yolo", "y.yaml", "--images", "/"), "exclude each other"),
        (("--coco", "x.json", "--images", "/", "--from", "predictions"), "exclude each other"),
        (("--coco", "x.json", "--images", "/none"), "no such folder"),
        (("3", "--images", "/"), "belong to a file"),
        (("3", "--coco", "x.json", "--images", "/", "--title", "t"), "exclude each other"),
        (("--coco", "x.json", "--images", "/"), "cannot be read as COCO"),
    ],
)
def test_options_that_contradict_each_other_are_told(deployed: Path, words: tuple[str, ...], said: str) -> None:
    code, answer = invoke(deployed, "masks", *words)
    assert code == 2
    assert said in answer["error"]["message"]


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "samstudio", "--config-dir", str(folder), *words, "--json"],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(action: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not patiently(action):
        if process.poll() is not None:
            raise AssertionError(process.communicate())
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_import_that_is_killed_goes_on_without_a_gap_or_a_double(
    deployed: Path, studio: LabelStudio, served: Path, tmp_path: Path
) -> None:
    source = draw(served, KILLED)
    file = str(source.coco(tmp_path / "instances.json"))
    words = ("masks", "--coco", file, "--images", str(served), "--title", "killed")

    def number() -> int:
        known = projects.by_title(studio, "killed")
        return int(known.id or 0) if known else 0

    def counted(version: str) -> int:
        return sum(version in versions(task) for task in tasks_of(studio, number())) if number() else 0

    stages = (
        number,
        lambda: number() and len(tasks_of(studio, number())) >= places.BATCH,
        lambda: counted(VERSION) > 0,
        lambda: counted(MASKS) > 0,
    )
    for stage in stages:
        ran = started(deployed, *words)
        wait_for(stage, ran)
        os.killpg(ran.pid, signal.SIGKILL)
        ran.communicate()
    (job,) = run(deployed, "jobs", "list")["jobs"]
    assert (job["state"], job["doing"]) == ("interrupted", "making masks")
    resumed = run(deployed, "jobs", "resume", job["id"])
    assert resumed["project"] == number()
    found = tasks_of(studio, number())
    assert len({task["data"]["image"] for task in found}) == len(found) == KILLED
    assert {tuple(versions(task)) for task in found} == {(VERSION, MASKS)}
    assert run(deployed, "jobs", "show", job["id"])["job"]["state"] == "done"
    assert len([each for each in projects.all_projects(studio) if each.title == "killed"]) == 1


def test_what_label_studio_was_being_told_is_waited_for(
    deployed: Path, studio: LabelStudio, served: Path, tmp_path: Path, own_state: Path
) -> None:
    """A killed process's last request may be under way still, when the next one looks."""
    source = draw(served, 2)
    file = str(source.coco(tmp_path / "instances.json"))
    words = ("masks", "--coco", file, "--images", str(served), "--title", "under way")
    number = run(deployed, *words, "--limit", "1")["project"]
    for task in tasks_of(studio, number):
        studio.http.delete(f"/api/tasks/{task['id']}").raise_for_status()
    (written,) = (own_state / "jobs").glob("*.json")
    keys = [f"user/{served.name}/{name}" for name in source.scenes]
    written.write_text(json.dumps({**json.loads(written.read_text()), "sending": {"what": "tasks", "keys": keys}}))

    late = [{"image": f"/data/local-files/?d={key}".replace(" ", "%20")} for key in keys]
    arriving = threading.Timer(3, projects.import_tasks, (studio, number, late))
    arriving.start()
    made = run(deployed, *words)
    arriving.join()
    assert (made["imported"]["tasks"], len(tasks_of(studio, number))) == (0, 2)
    assert jobs.every()[0].sending == {}
