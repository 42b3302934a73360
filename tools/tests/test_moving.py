"""From SQLite to PostgreSQL with a real Label Studio on either, and what is left by a move that fails or is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from samstudio import deployment
from samstudio.backup import contents, service, sqlite
from samstudio.backup.postgresql import NAME, PostgreSQL
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.labelstudio import connect, projects, tokens
from samstudio.labelstudio.session import sign_in
from samstudio.moving import move, rows, schema
from samstudio.secret_store import API_TOKEN, SecretStore

from tools.tests import label_studio, postgresql, servers
from tools.tests.commands import run
from tools.tests.test_backup_killed import BAR, QUIET, killed

pytestmark = pytest.mark.integration

#: Label Studio's tables as its models describe them, at once. Its migrations make the same, in half a minute more.
AT_ONCE = """
import importlib.util, sys
sys.path.insert(0, importlib.util.find_spec("label_studio").submodule_search_locations[0])
import django
django.setup()
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.urls import get_resolver
get_resolver().url_patterns  # imports the models that nothing else does
known = MigrationLoader(connection).disk_migrations
done = sorted({*known, *(name for each in known.values() for name in each.replaces)})
with connection.cursor() as cursor:
    cursor.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gin")
settings.MIGRATION_MODULES = {app.label: None for app in apps.get_app_configs()}
call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)
recorder = MigrationRecorder(connection)
recorder.ensure_schema()
recorder.Migration.objects.bulk_create([recorder.Migration(app=app, name=name) for app, name in done])
"""
CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="cell"/>
</RectangleLabels></View>"""
TEXT = 'a "quote", a \\ and \\N, a tab\t, a \u2603\nand a line'


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o755)
        with postgresql.running(Path(folder)) as running:
            yield running


@pytest.fixture
def asked(server: postgresql.Server) -> Iterator[PostgreSQL]:
    with server.asked() as client:
        client.create(NAME)
        yield client
        for name in client.ask(f"SELECT datname FROM pg_database WHERE datname LIKE '{NAME}%'").split():
            client.drop(name)


@dataclass
class Container:
    """Stands for Label Studio's container, whose engine these tests do without: what was done to it, in order."""

    process: subprocess.Popen[bytes] | None = None
    runs: bool = True
    did: list[str] = field(default_factory=list)

    def stop(self, _: Deployment) -> None:
        self.did.append("stop")
        self.runs = False
        if self.process:
            servers.stop(self.process, seconds=20)

    def start(self, _: Deployment) -> None:
        self.did.append("start")
        self.runs = True


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Container:
    container = Container()
    monkeypatch.setattr(service, "stop", container.stop)
    monkeypatch.setattr(service, "start", container.start)
    monkeypatch.setattr(service, "running", lambda _: container.runs)
    monkeypatch.setattr(service, "wait", lambda *_: None)
    return container


def describe(folder: Path, data: Path, **settings: str) -> Path:
    folder.mkdir(exist_ok=True)
    described = {"label_studio": {"data": str(data), **settings}}
    (folder / "deployment.yml").write_text(yaml.safe_dump(described))
    return folder


def test_label_studio_goes_on_in_postgresql_where_it_was_in_sqlite(
    tmp_path: Path,
    label_studio_cache: Path,
    server: postgresql.Server,
    asked: PostgreSQL,
    container: Container,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = tmp_path / "old"
    data = old / "data"
    with label_studio.running(old, label_studio_cache) as studio:
        container.process = studio.process
        config = describe(tmp_path / "etc", data, url=studio.url, version=studio.version, admin_email=studio.email)
        store = SecretStore(config / "secrets")
        store.write("label_studio_admin_password", studio.password)
        tokens.ensure(studio.url, studio.email, store)
        before = fill(studio.url, store.read(API_TOKEN))
        environment = {**label_studio.environment_of(data), **server.settings}
        monkeypatch.setattr(schema, "PROGRAM", AT_ONCE)
        monkeypatch.setattr(
            schema,
            "command",
            lambda _, name: [
                *("env", "DJANGO_SETTINGS_MODULE=core.settings.label_studio", f"POSTGRE_NAME={name}"),
                *(f"{key}={value}" for key, value in environment.items()),
                *(str(label_studio.python()), "-"),
            ],
        )
        done = run(config, "copy-to-postgresql")
    aside = Path(done["kept"])
    assert aside.parent == data
    assert not (data / sqlite.NAME).exists()
    assert container.did == ["stop"]
    assert (done["changed"], done["removals"]) == (True, [])
    held = asked.look()
    assert held == sqlite.look(aside)
    assert (held.annotations, held.users) == (2, 2)
    again = run(config, "copy-to-postgresql")
    assert (again["changed"], again["kept"]) == (False, str(aside))

    settings = {**server.settings, "POSTGRE_NAME": NAME, "LABEL_STUDIO_BASE_DATA_DIR": str(data)}
    with label_studio.running(tmp_path / "new", label_studio_cache, settings=settings) as studio:
        token = store.read(API_TOKEN)
        assert tokens.verify(studio.url, token).email == studio.email
        assert shown(studio.url, token) == before["shown"]
        with sign_in(studio.url, "second@samstudio.local", "second horse staple") as second:
            assert second.get("/api/current-user/whoami").json()["email"] == "second@samstudio.local"
        with connect(studio.url, token) as connection:
            task = {"project": before["project"], "data": {"image": "new"}}
            made = connection.http.post("/api/tasks/", json=task).raise_for_status().json()["id"]
            assert made == before["task"] + 1
            annotated = annotate(connection.http, made, "new")
            assert annotated == before["annotation"] + 1, "not the id of the one that was deleted"
    assert not (data / sqlite.NAME).exists(), "nothing has begun a new SQLite"


def annotate(http: httpx.Client, task: int, text: str) -> int:
    value = {"x": 1.5, "y": 2, "width": 1e-7, "height": 40.25, "rotation": 0, "rectanglelabels": [text]}
    region = {"type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value}
    made = http.post(f"/api/tasks/{task}/annotations/", json={"result": [region], "lead_time": 1.25})
    return int(made.raise_for_status().json()["id"])


def fill(url: str, token: str) -> dict[str, Any]:
    """Let a Label Studio have an upload, tasks, annotations of which the last one is deleted, a prediction, a second user."""
    with connect(url, token) as connection:
        project = projects.create(connection, "moved", CONFIG)
        number = int(project.id or 0)
        http = connection.http
        upload = {"file": ("ein bild.png", b"\x89PNG no image at all", "image/png")}
        http.post(f"/api/projects/{number}/import", files=upload).raise_for_status()
        tasks = [{"image": f"{each}", "text": TEXT, "null": None, "many": 1e16, "less": -0.0} for each in range(3)]
        http.post(f"/api/projects/{number}/import", json=tasks).raise_for_status()
        ids = sorted(each["id"] for each in http.get("/api/tasks", params={"project": number}).json()["tasks"])
        made = [annotate(http, task, TEXT) for task in ids[:3]]
        http.delete(f"/api/annotations/{made[-1]}/").raise_for_status()
        predicted = {"task": ids[0], "result": [], "score": 0.1, "model_version": "m"}
        http.post("/api/predictions/", json=predicted).raise_for_status()
        invited = http.get("/api/invite").raise_for_status().json()["invite_url"]
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as visitor:
        visitor.get(invited).raise_for_status()
        form = {"email": "second@samstudio.local", "password": "second horse staple"}
        given = {**form, "csrfmiddlewaretoken": visitor.cookies["csrftoken"], "allow_newsletters": "false"}
        assert visitor.post(invited, data=given, headers={"Referer": url}).status_code == httpx.codes.FOUND
    return {"shown": shown(url, token), "project": number, "task": ids[-1], "annotation": made[-1]}


def shown(url: str, token: str) -> dict[str, Any]:
    """What a Label Studio shows of the project."""
    with connect(url, token) as connection:
        (project,) = connection.http.get("/api/projects").raise_for_status().json()["results"]
        export = f"/api/projects/{project['id']}/export"
        every = {"exportType": "JSON", "download_all_tasks": "true"}
        exported = connection.http.get(export, params=every).raise_for_status().json()
        (upload,) = [each["data"]["image"] for each in exported if "/upload/" in each["data"]["image"]]
        return {
            "project": {key: project[key] for key in ("id", "title", "label_config", "created_at")},
            "tasks": exported,
            "upload": connection.http.get(upload).raise_for_status().content,
            "users": connection.http.get("/api/users").raise_for_status().json(),
        }
