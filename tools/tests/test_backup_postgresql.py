"""Backup and restore with a real PostgreSQL, served in a container by the very script of role database."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from samstudio import deployment
from samstudio.backup import database, journal, manifest, service
from samstudio.backup import restore as restoring
from samstudio.backup.postgresql import NAME, PostgreSQL
from samstudio.errors import SamstudioError
from samstudio.secret_store import SecretStore

from tools.tests import userland
from tools.tests.commands import fails, run
from tools.tests.test_backup_killed import BAR, QUIET, killed

pytestmark = pytest.mark.integration

SERVE = Path(__file__).parents[2] / "roles" / "database" / "files" / "postgresql" / "serve-postgresql"
UID = 65534
#: of Label Studio's tables, what is asked for, with the types that Django gives them on PostgreSQL
TABLES = """
CREATE TABLE project (id serial PRIMARY KEY, title text);
CREATE TABLE task (id serial PRIMARY KEY);
CREATE TABLE htx_user (id serial PRIMARY KEY);
CREATE TABLE task_completion (id serial PRIMARY KEY, task_id int, project_id int, completed_by_id int,
  was_cancelled bool NOT NULL, ground_truth bool NOT NULL, result jsonb, updated_at timestamptz NOT NULL);
"""


@dataclass
class Host:
    config: Path
    server: PostgreSQL

    def ask(self, statement: str) -> str:
        return self.server.ask(statement, NAME)

    def databases(self) -> list[str]:
        return self.server.ask("SELECT datname FROM pg_database WHERE datname LIKE 'label_studio%' ORDER BY 1").split()

    def become(self, name: str) -> None:
        result = json.dumps([{"by": name, "text": 'a "quote", a \\ and a \u2603\nline', "n": 1.5}]).replace("'", "''")
        self.ask("TRUNCATE project, task_completion")
        self.ask(f"INSERT INTO project (title) VALUES ('{name}')")
        self.ask(
            "INSERT INTO task_completion (was_cancelled, ground_truth, result, updated_at) "
            f"SELECT false, true, '{result}', '2026-01-01' FROM generate_series(1, 500)"
        )

    def shown(self) -> str:
        return self.ask("SELECT title FROM project")


@pytest.fixture
def host(tmp_path: Path, engine: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    config, data, cluster = tmp_path / "etc", tmp_path / "var" / "label-studio", tmp_path / "var" / "postgresql"
    for folder in (data, cluster, tmp_path / "tmp"):
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    for above in (cluster, *cluster.parents[:3]):
        above.chmod(above.stat().st_mode | 0o055)
    store = SecretStore(config / "secrets")
    store.ensure()
    password = tmp_path / "password"
    password.write_text(store.read("postgres_password"))
    name = f"{userland.PREFIX}-postgresql-{uuid.uuid4().hex[:8]}"
    volumes = [
        f"{cluster}:/var/lib/postgresql",
        f"{tmp_path / 'tmp'}:/tmp",
        f"{password}:/run/secrets/postgres_password:ro",
    ]
    volumes += [
        f"{SERVE}:/serve:ro",
        "/etc/passwd:/etc/passwd:ro",
        "/etc/ssl:/etc/ssl:ro",
        *userland.OPTIONS["volumes"],
    ]
    described = {
        "label_studio": {"version": "1.23.2", "url": "http://127.0.0.1:9", "data": str(data), "container": name},
        "database": {"kind": "postgresql", "container": name},
    }
    (config / "deployment.yml").write_text(yaml.safe_dump(described))
    container = engine.containers.create(
        image,
        ["sh", "/serve"],
        name=name,
        init=True,
        user=f"{UID}:{UID}",
        environment=userland.OPTIONS["environment"],
        volumes=volumes,
    )
    try:
        container.start()
        host = Host(config, PostgreSQL(name))
        _wait(host, container)
        host.ask(TABLES)
        # There is no Label Studio on this database: what is stopped, started and asked is nothing.
        for each in ("stop", "start", "wait"):
            monkeypatch.setattr(service, each, lambda *_: None)
        yield host
    finally:
        container.remove(force=True)


def _wait(host: Host, container: Any) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            host.server.ask("SHOW server_version")
            return
        except SamstudioError:
            container.reload()
            if time.monotonic() > end or container.status == "exited":
                raise RuntimeError(container.logs().decode()[-3000:]) from None
            time.sleep(0.5)


def test_a_dump_is_loaded_counted_and_exchanged(host: Host, tmp_path: Path) -> None:
    host.become("one")
    printed = run(host.config, "backup", "--to", str(tmp_path / "to"))
    assert printed["contents"]["annotations"] == 500
    assert host.databases() == [NAME], "nothing of the check is left"
    host.become("two")
    found = deployment.load(host.config)
    backup = Path(printed["backup"])
    mine = SecretStore(host.config / "secrets")
    (backup / "secrets" / "postgres_password").write_text("of another server\n")
    told = json.loads((backup / manifest.FILE).read_text())
    told["files"]["secrets/postgres_password"]["sha256"] = manifest.sha256(backup / "secrets" / "postgres_password")
    (backup / manifest.FILE).write_text(json.dumps(told))
    password = mine.read("postgres_password")

    run(host.config, "restore", str(backup), "--rehearse")
    assert (host.shown(), host.databases()) == ("two", [NAME])
    done = restoring.restore(found, backup, restoring.usable(found, backup, BAR), BAR, QUIET)
    assert host.shown() == "one"
    assert host.server.look() == manifest.read(backup).contents
    assert mine.read("postgres_password") == password
    (kept,) = set(host.databases()) - {NAME}
    assert any(kept in line for line in done.removals)
    assert host.server.ask("SELECT title FROM project", kept) == "two"


def test_an_upgrade_works_on_a_copy_and_the_older_database_comes_back(host: Host) -> None:
    host.become("older")
    live = database.of(deployment.load(host.config))
    before = live.duplicate("20260101T000000Z")
    assert before == host.server.look()
    swap = live.alone("20260101T000000Z")
    for _ in range(2):
        swap.forward()
    host.become("newer")
    assert (live.written_since("2026-01-01"), live.written_since("2026-01-02")) == (500, 0)
    host.ask("ALTER TABLE task_completion RENAME COLUMN result TO outcome")
    for _ in range(2):
        swap.back()
    assert host.shown() == "older"
    assert host.server.look() == before
    assert host.server.ask("SELECT title FROM project", swap.fresh) == "newer"
    swap.remove(swap.fresh)
    assert host.databases() == [NAME]


@pytest.mark.parametrize("phase", ["switching", "proving"])
def test_a_kill_around_the_exchange_is_taken_back_or_finished(
    host: Host, tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.become("one")
    backup = Path(run(host.config, "backup", "--to", str(tmp_path / "to"))["backup"])
    host.become("two")
    found = deployment.load(host.config)
    if phase == "switching":  # after the exchange of the databases, before that of the folders' names
        monkeypatch.setattr(restoring, "_hand_on", _die)
    else:
        monkeypatch.setattr(restoring, "prove", _die)
    assert killed(0, lambda: restoring.restore(found, backup, restoring.usable(found, backup, BAR), BAR, QUIET))
    monkeypatch.undo()
    for each in ("stop", "start", "wait"):
        monkeypatch.setattr(service, each, lambda *_: None)
    cut_off = journal.read(host.config)
    assert cut_off is not None
    assert cut_off.phase.value == phase
    assert host.shown() == "one"
    assert "did not end" in fails(host.config, "backup", "--to", str(tmp_path / "to"))["found"]
    done = restoring.finish(found, QUIET)
    assert (done is None) == (phase == "switching")
    assert host.shown() == ("two" if phase == "switching" else "one")


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
