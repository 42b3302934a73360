"""From SQLite to PostgreSQL with a real Label Studio on either, and what is left by a move that fails or is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from samstudio import deployment, files
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
    assert aside.parent == data.parent
    assert aside.stat().st_mode & 0o777 == 0o600
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
    """Let a Label Studio have an upload, tasks, annotations, of which the last is deleted, and a second user."""
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


#: of Label Studio's tables, those that are counted, in either kind's own words; moves that fail need no more
SMALL = """
CREATE TABLE django_migrations (id integer PRIMARY KEY, app text, name text);
CREATE TABLE htx_user (id {number}, email varchar(20));
CREATE TABLE project (id {number}, title varchar(20), organizer integer REFERENCES htx_user {later});
CREATE TABLE task (id {number}, data {json}, is_labeled {flag});
CREATE TABLE task_completion (id {number}, task_id integer REFERENCES task {later}, project_id integer,
  completed_by_id integer, was_cancelled {flag}, ground_truth {flag}, result {json}, updated_at {moment});
INSERT INTO django_migrations VALUES (1, 'tasks', '0001_initial');
"""
OF_SQLITE = {
    "number": "integer PRIMARY KEY AUTOINCREMENT",
    "json": "text",
    "flag": "bool",
    "moment": "datetime",
    "later": "",
}
OF_POSTGRESQL = {
    "number": "integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    "json": "jsonb",
    "flag": "boolean",
    "moment": "timestamptz",
    "later": "DEFERRABLE INITIALLY DEFERRED",
}
ROWS = """
INSERT INTO htx_user VALUES (1, 'one'), (2, 'two');
INSERT INTO project VALUES (7, 'first', 2);
INSERT INTO task VALUES (1, '{"image": "1.png"}', 1), (2, '[]', 0);
INSERT INTO task_completion VALUES (4, 1, 7, 1, 0, 1, '[{"x": 0.10, "y": [1e16, -0.0]}]', '2026-03-29 01:30:00.120000');
INSERT INTO task_completion VALUES (9, 2, 7, NULL, 0, 0, NULL, '2026-03-29 01:30:00');
DELETE FROM task_completion WHERE id = 9;
"""


@dataclass
class Small:
    deployment: Deployment
    live: Path
    asked: PostgreSQL
    container: Container

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.live)) as database:
            database.execute(statement)
            database.commit()

    def move(self) -> move.Moved:
        return move.move(self.deployment, BAR, QUIET)

    def refused(self) -> SamstudioError:
        """Of a move that fails: Label Studio runs again on SQLite, and PostgreSQL has nothing under its name."""
        with pytest.raises(SamstudioError) as told:
            self.move()
        assert self.live.exists()
        assert self.container.runs
        assert self.asked.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", NAME) == "0"
        return told.value


@pytest.fixture
def small(tmp_path: Path, asked: PostgreSQL, container: Container, monkeypatch: pytest.MonkeyPatch) -> Small:
    data = tmp_path / "var" / "label-studio"
    data.mkdir(parents=True)
    with closing(sqlite3.connect(data / sqlite.NAME)) as database:
        database.executescript(SMALL.format(**OF_SQLITE) + ROWS)
    monkeypatch.setattr(schema, "make", lambda _, name: asked.ask(SMALL.format(**OF_POSTGRESQL), name))
    found = deployment.load(describe(tmp_path / "etc", data))
    return Small(found, data / sqlite.NAME, asked, container)


def test_values_ids_and_the_numbers_to_come_are_the_same(small: Small) -> None:
    moved = small.move()
    assert moved.rows == 6
    asked = "SELECT id, result, updated_at AT TIME ZONE 'UTC', ground_truth FROM task_completion"
    told = '4|[{"x": 0.10, "y": [10000000000000000, 0.0]}]|2026-03-29 01:30:00.12|t'
    assert small.asked.ask(asked, NAME) == told
    small.asked.ask("INSERT INTO task_completion (task_id) VALUES (1)", NAME)
    assert small.asked.ask("SELECT max(id) FROM task_completion", NAME) == "10", "9 was somebody's, who deleted it"
    Path(moved.aside).unlink()
    with pytest.raises(NothingToLookAt, match="no SQLite"):
        small.move()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE project SET title = 'a' || char(0) || 'b'", "project.title, in the row that begins 7: a NUL"),
        ("UPDATE project SET organizer = 3", "violates foreign key constraint"),
        ('UPDATE task SET data = \'{"a": "\\u0000"}\' WHERE id = 2', "unsupported Unicode escape sequence"),
    ],
)
def test_what_postgresql_cannot_hold_is_named_and_nothing_is_moved(small: Small, statement: str, said: str) -> None:
    small.change(statement)
    assert said in small.refused().found
    assert small.container.did == ["stop", "start"]


def test_tables_that_are_not_alike_stop_a_move_before_label_studio_is_stopped(small: Small) -> None:
    small.change("CREATE TABLE plugin AS SELECT 1 AS one")
    small.change("INSERT INTO django_migrations VALUES (2, 'plugin', '0001_initial')")
    found = small.refused().found
    assert "plugin is in SQLite alone" in found
    assert "plugin.0001_initial" in found
    assert small.container.did == []


def test_a_row_that_came_otherwise_is_noticed(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "escaped", lambda text: "f" if text == "t" else text or r"\N")
    error = small.refused()
    assert error.message == "What PostgreSQL holds is not what SQLite holds; nothing was moved."
    assert "task_completion: 1 rows" in error.found
    assert "htx_user" not in error.found


def test_a_kill_leaves_sqlite_or_postgresql_and_the_next_move_ends_it(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sqlite.look(small.live)
    kept = small.live.read_bytes()
    points = [(rows, "look"), (PostgreSQL, "rename"), (Path, "rename"), (files, "settle")]
    for place, name in points:
        small.live.write_bytes(kept)
        with monkeypatch.context() as patch:
            patch.setattr(place, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            assert killed(0, small.move)
        assert small.live.exists() == (name != "settle")
        small.container.runs = False  # it may have been stopped
        moved = small.move()
        assert (moved.rows == 0) == (name == "settle")
        assert small.asked.counts() == {name: getattr(before, name) for name in contents.TABLES}
        assert bool(moved.removals) == (place is Path), "its own copy is told of, once it had the name"
        Path(moved.aside).unlink()
        small.asked.create(NAME)


def test_a_move_is_taken_back_unless_somebody_worked_since(small: Small) -> None:
    moved = small.move()
    assert move.back(small.deployment, QUIET) == small.live
    assert not Path(moved.aside).exists()
    assert move.back(small.deployment, QUIET) is None, "and nothing more"
    again = small.move()
    assert again.removals, "the copy from before is kept until somebody removes it"
    small.asked.ask("UPDATE task_completion SET updated_at = now() + interval '1 second'", NAME)
    with pytest.raises(SamstudioError, match="works on PostgreSQL since"):
        move.back(small.deployment, QUIET)
    assert Path(again.aside).exists()


def test_a_deployment_on_postgresql_is_left_alone(small: Small) -> None:
    found = replace(small.deployment, database=replace(small.deployment.database, kind="postgresql"))
    before = small.live.read_bytes()
    for action in (lambda: move.move(found, BAR, QUIET), lambda: move.back(found, QUIET)):
        with pytest.raises(SamstudioError, match="works on PostgreSQL already"):
            action()
    assert (small.live.read_bytes(), small.container.did) == (before, [])
    aside = Path(small.move().aside)
    with pytest.raises(SamstudioError, match="works on PostgreSQL already"):
        move.back(found, QUIET)
    assert aside.exists()
