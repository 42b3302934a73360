"""A real Label Studio and the real backend with its demo model, connected, with a project of drawn scenes in it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from samstudio import labeling_configs, ssrf

from docs.make.scenes import SCENES, Scene
from tools.tests import backend, label_studio, servers

#: Seen on every cell, and white words are read on them.
COLOURS = {"cell": "#C98A00", "leaf": "#1F4FD8", "tool": "#00A6A6"}
CONFIG = """<View>
  <Labels name="label" toName="image">{labels}</Labels>
  <TextField/>
  <KeyPoint name="point" toName="image" smart="true" smartOnly="true"/>
  <Rectangle name="box" toName="image" smart="true" smartOnly="true"/>
  <Brush name="mask" toName="image" smart="false"/>
  <Image name="image" value="$image" zoom="true"/>
</View>"""


@dataclass
class Project:
    """A scene's project: `task` is the one task in it."""

    scene: Scene
    number: int
    task: int


@dataclass
class Pair:
    """projects: by the scene's label. boxed: the first scene again, with boxes, and a second task."""

    studio: label_studio.RunningLabelStudio
    projects: dict[str, Project]
    boxed: Project


@contextlib.contextmanager
def running(folder: Path, cache: Path) -> Iterator[Pair]:
    """Start both, one project for each scene, and end them afterwards."""
    settings = ssrf.narrow_environment(ssrf.KNOWN, ["127.0.0.1"])
    with label_studio.running(folder / "studio", cache, settings=settings) as studio:
        client = _signed_in(studio)
        token = folder / "token"
        token.write_text(client.post("/api/token/").raise_for_status().json()["token"])
        port = servers.free_port()
        with backend.running(folder / "backend", studio_url=studio.url, token_file=token, port=port) as url:
            made = [_project(client, scene(), url) for scene in SCENES]
            boxed = _project(client, SCENES[0](), url)
            answer = client.post(f"/api/tasks/{boxed.task}/annotations/", json={"result": _boxes(boxed.scene)})
            answer.raise_for_status()
            _import(client, boxed.number, SCENES[1]())
            yield Pair(studio, {project.scene.label: project for project in made}, boxed)


def _signed_in(studio: label_studio.RunningLabelStudio) -> httpx.Client:
    client = httpx.Client(base_url=studio.url, timeout=60, trust_env=False)
    client.get("/user/login/").raise_for_status()
    form = {"email": studio.email, "password": studio.password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    client.post("/user/login/", data=form, headers={"Referer": studio.url})
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
    client.get("/api/projects/").raise_for_status()
    return client


def _project(client: httpx.Client, scene: Scene, backend_url: str) -> Project:
    labels = f'<Label value="{scene.label}" background="{COLOURS[scene.label]}"/>'
    labels += '<Label value="unsure" background="#64748B"/>'
    wanted = {
        "title": scene.name.removesuffix(".png").capitalize(),
        "label_config": CONFIG.format(labels=labels).replace("<TextField/>", labeling_configs.text_field()),
        "show_collab_predictions": False,
    }
    number = client.post("/api/projects/", json=wanted).raise_for_status().json()["id"]
    _import(client, number, scene)
    record = {
        "project": number,
        "url": backend_url,
        "title": "SAM2",
        "is_interactive": True,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": backend.USER,
        "basic_auth_pass": backend.PASSWORD,
    }
    client.post("/api/ml/", json=record).raise_for_status()
    (task,) = client.get("/api/tasks/", params={"project": number}).raise_for_status().json()["tasks"]
    return Project(scene, number, task["id"])


def _import(client: httpx.Client, number: int, scene: Scene) -> None:
    picture = io.BytesIO()
    scene.image.save(picture, "PNG")
    files = {scene.name: (scene.name, picture.getvalue(), "image/png")}
    client.post(f"/api/projects/{number}/import", files=files).raise_for_status()


def _boxes(scene: Scene) -> list[dict[str, object]]:
    """Around each object, as the editor stores them; every third is called `unsure`."""
    items: list[dict[str, object]] = []
    for number in range(1, len(scene.clicks) + 1):
        ys, xs = np.nonzero(scene.mask(number))
        height, width = scene.labels.shape
        left, top = 100 * xs.min() / width, 100 * ys.min() / height
        right, bottom = 100 * (xs.max() + 1) / width, 100 * (ys.max() + 1) / height
        value = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
        shared = {"id": f"box{number}", "to_name": "image", "original_width": width, "original_height": height}
        called = {**value, "labels": ["unsure" if number % 3 == 0 else scene.label]}
        items.append({**shared, "image_rotation": 0, "from_name": "box", "type": "rectangle", "value": value})
        items.append({**shared, "image_rotation": 0, "from_name": "label", "type": "labels", "value": called})
    return items
