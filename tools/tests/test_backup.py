"""A real Label Studio, annotated over its API: brought back on another host, or after an upgrade that went wrong."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from samstudio import labeling_configs
from samstudio.backup import manifest, sqlite
from samstudio.labelstudio import LabelStudio, connect, projects, tokens
from samstudio.labelstudio.session import sign_in
from samstudio.samples import draw
from samstudio.secret_store import ADMIN_PASSWORD, API_TOKEN

from tools.tests import deployed, label_studio
from tools.tests.commands import fails, run
from tools.tests.test_roles import ROOT

pytestmark = pytest.mark.integration

TASKS = 20


@pytest.fixture(scope="module")
def old(
    tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path, engine: docker.DockerClient, image: str
) -> Iterator[deployed.Host]:
    with deployed.full(tmp_path_factory.mktemp("old"), label_studio_cache, engine, image) as host:
        yield host


def annotate(studio: LabelStudio, task: int, text: str) -> None:
    value = {"x": 1.5, "y": 2, "width": 30, "height": 40.25, "rectanglelabels": [text]}
    region = {"type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value}
    studio.http.post(f"/api/tasks/{task}/annotations/", json={"result": [region]}).raise_for_status()


def prepare(studio: LabelStudio, folder: Path) -> list[int]:
    """A project with uploaded images and tasks; gives the tasks."""
    number = int(projects.create(studio, "a year's work", labeling_configs.read("quick_start")).id or 0)
    draw(folder)
    projects.upload(studio, number, sorted(folder.glob("*.png")))
    made = [{"image": f"/data/local-files/?d={each}.png"} for each in range(TASKS)]
    studio.http.post(f"/api/projects/{number}/import", json=made).raise_for_status()
    return [task["id"] for task in projects.tasks(studio, number)]


def test_what_was_annotated_meanwhile_is_whole_on_another_host(
    old: deployed.Host,
    tmp_path: Path,
    label_studio_cache: Path,
    engine: docker.DockerClient,
    image: str,
) -> None:
    run(old.config, "token", "ensure")
    token = old.secrets.read(API_TOKEN)
    target = tmp_path / "backups"
    with connect(old.url, token) as studio:
        tasks = prepare(studio, tmp_path / "images")
        for task in tasks:
            annotate(studio, task, "before \u2603 it")
        stop, made = threading.Event(), itertools.count(1)

        def work() -> None:
            for task in itertools.cycle(tasks):
                if stop.is_set():
                    return
                annotate(studio, task, f"meanwhile {next(made)}")

        person = threading.Thread(target=work)
        person.start()
        try:
            printed = run(old.config, "backup", "--to", str(target))
        finally:
            stop.set()
            person.join()
    folder = Path(printed["backup"])
    assert len(tasks) <= printed["contents"]["annotations"] <= len(tasks) + next(made)
    assert next(made) > 2, "nobody annotated meanwhile"
    assert printed["contents"]["projects"] == 1
    assert sum(name.startswith("data/media/upload/") for name in manifest.read(folder).files) == 3
    modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in manifest.walk(folder) if "secrets/" in name}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert token not in (folder / "manifest.json").read_text()

    with deployed.full(tmp_path / "new", label_studio_cache, engine, image) as new:
        new.secrets.write(ADMIN_PASSWORD, "of another deployment")
        assert not tokens.is_valid(new.url, token)
        rehearsed = run(new.config, "restore", str(folder), "--rehearse")
        assert (rehearsed["changed"], rehearsed["restored"]) == (False, False)
        assert sqlite.counts(new.data / sqlite.NAME)["annotations"] == 0

        restored = run(new.config, "restore", str(folder), "--yes")
        assert (restored["restored"], restored["healthy"], restored["did"]) == (True, True, [])
        assert sqlite.look(new.data / sqlite.NAME) == manifest.read(folder).contents
        assert same_rows(new.data / sqlite.NAME, folder / "database.sqlite3")
        assert uploads(new.data) == uploads(old.data)
        assert new.secrets.read(API_TOKEN) == token
        assert run(new.config, "token", "show")["email"] == "admin@samstudio.local"
        with connect(new.url, token) as studio:
            (project,) = projects.all_projects(studio)
            exported = studio.http.get(f"/api/projects/{project.id}/export?exportType=JSON").raise_for_status().json()
            seen = sum(len(task["annotations"]) for task in exported)
            assert seen == printed["contents"]["annotations"]
            annotate(studio, exported[0]["id"], "after it")
        with sign_in(new.url, "admin@samstudio.local", new.secrets.read(ADMIN_PASSWORD)):
            pass
        assert len(restored["removals"]) == 2, "old data and old secrets are kept"
        (before,) = new.data.parent.glob("label-studio.before-*")
        assert sqlite.counts(before / sqlite.NAME)["annotations"] == 0


#: a migration as Label Studio's own are, which fails half-way and cannot be taken back
BROKEN = """
from django.db import migrations

def fail(apps, schema_editor):
    raise RuntimeError("this migration is broken")

class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tasks", "LAST")]
    operations = [
        migrations.RunSQL("UPDATE task_completion SET result = '[]'"),
        migrations.RunSQL("ALTER TABLE task_completion RENAME COLUMN result TO outcome"),
        migrations.RunPython(fail),
    ]
"""


def make_broken(host: deployed.Host, folder: Path) -> None:
    """The next Label Studio, started as the role's image starts it, with that migration after its own."""
    _, site = label_studio.installed(label_studio.venv())
    own, more = Path(site) / "label_studio" / "tasks" / "migrations", folder / "migrations"
    shutil.copytree(own, more, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(path.stem for path in more.glob("0*.py"))
    (more / "9999_broken.py").write_text(BROKEN.replace("LAST", last))
    role = ROOT / "roles" / "label_studio" / "files" / "label-studio"
    serve, mounts = deployed.serving(label_studio.venv(), "label_studio_ready:application")
    mounts |= {str(more): str(own), str(role): str(role)}
    host.make([*serve, "--preload"], mounts, {"PYTHONPATH": str(role)}).start()


def test_a_broken_migration_is_taken_back_with_every_annotation(old: deployed.Host, tmp_path: Path) -> None:
    run(old.config, "token", "ensure")
    with connect(old.url, old.secrets.read(API_TOKEN)) as studio:
        task = prepare(studio, tmp_path / "images")[0]
        annotate(studio, task, "before the upgrade")
    live, before = old.data / sqlite.NAME, sqlite.look(old.data / sqlite.NAME)
    assert run(old.config, "exchange", "begin")["holds"] == str(before)
    make_broken(old, tmp_path / "next")
    assert fails(old.config, "exchange", "prove")["message"] == "Label Studio does not come up."
    with sqlite3.connect(live) as changed:
        assert "outcome" in {column[1] for column in changed.execute("PRAGMA table_info(task_completion)")}

    done = run(old.config, "rollback", "--yes")
    assert "this migration is broken" in Path(done["log"]).read_text()
    assert sqlite.look(live) == before
    assert (done["made"], done["removals"], done["notes"]) == ("", [], [])
    assert [path.name for path in old.data.glob("label_studio.sqlite3*")] == [sqlite.NAME]
    with connect(old.url, old.secrets.read(API_TOKEN)) as studio:
        annotate(studio, task, "after it")
    assert sqlite.look(live).annotations == before.annotations + 1


def same_rows(one: Path, other: Path) -> bool:
    """Every column of every annotation, by SQLite itself."""
    with sqlite3.connect(one) as connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        differ = "SELECT count(*) FROM (SELECT * FROM {0} EXCEPT SELECT * FROM {1})"
        pair = ("main.task_completion", "other.task_completion")
        return {connection.execute(differ.format(*each)).fetchone()[0] for each in (pair, pair[::-1])} == {0}


def uploads(data: Path) -> dict[str, str]:
    return {name: manifest.sha256(path) for name, path in manifest.walk(data / "media")}
