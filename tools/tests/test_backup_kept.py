"""What a backup refuses, checks, keeps and removes; what a restore refuses. Nothing is started for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio import __version__, deployment, lock, status
from samstudio.backup import contents, journal, manifest, room, sqlite
from samstudio.secret_store import SecretStore

from tools.tests.commands import fails, invoke, run, typed

#: of Label Studio's tables, what is asked for
TABLES = """
CREATE TABLE project (id INTEGER PRIMARY KEY);
CREATE TABLE task (id INTEGER PRIMARY KEY);
CREATE TABLE htx_user (id INTEGER PRIMARY KEY);
CREATE TABLE task_completion (id INTEGER PRIMARY KEY, task_id INTEGER, project_id INTEGER, completed_by_id INTEGER,
  was_cancelled BOOL, ground_truth BOOL, result TEXT, updated_at DATETIME);
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A configuration folder of a host whose Label Studio does not run; its data is in ../var."""
    config, data = tmp_path / "etc", tmp_path / "var"
    (data / "media" / "upload").mkdir(parents=True)
    (data / "media" / "upload" / "one.png").write_bytes(b"one" * 1000)
    (data / "link").symlink_to("/etc/hostname")
    with closing(sqlite3.connect(data / sqlite.NAME)) as made:
        made.executescript(TABLES)
        made.execute("INSERT INTO project VALUES (1)")
        made.executemany("INSERT INTO task VALUES (?)", [(each,) for each in range(1, 6)])
        rows = [(each, each, 1, 1, False, False, json.dumps([{"n": each}]), "2026-01-01") for each in range(1, 6)]
        made.executemany("INSERT INTO task_completion VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        made.commit()
    SecretStore(config / "secrets").ensure()
    described = {"version": "1.23.2", "url": "http://127.0.0.1:9", "data": str(data), "container": "no-such-container"}
    (config / "deployment.yml").write_text(yaml.safe_dump({"label_studio": described}))
    return config


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def back_up(host: Path, target: Path, *words: str) -> Path:
    return Path(run(host, "backup", "--to", str(target), *words)["backup"])


def renamed(backup: Path, time: str) -> Path:
    """The same backup, as if it had been made at another time."""
    return backup.rename(backup.with_name(backup.name[: -len(time)] + time))


def test_a_backup_says_what_it_holds_and_what_not(host: Path, target: Path) -> None:
    (host.parent / "models").mkdir()
    printed = run(host, "backup", "--to", str(target))
    assert printed["contents"]["annotations"] == 5
    assert printed["same_disk"] is True
    left = {each["what"] for each in printed["left_out"]}
    assert left == {"model weights", "no plain file"}
    files = set(manifest.read(Path(printed["backup"])).files)
    secrets = {f"secrets/{path.name}" for path in (host / "secrets").iterdir()}
    assert files == {"database.sqlite3", "data/media/upload/one.png", "config/deployment.yml", *secrets}
    assert [path.name for path in target.iterdir()] == [Path(printed["backup"]).name]


def test_uploads_that_an_earlier_backup_holds_are_linked_unless_it_is_damaged(host: Path, target: Path) -> None:
    first = renamed(back_up(host, target), "20200101T000000Z")
    second = back_up(host, target)
    name = "data/media/upload/one.png"
    assert (second / name).samefile(first / name)
    assert not (second / "database.sqlite3").samefile(first / "database.sqlite3")
    second = renamed(second, "20200102T000000Z")
    had = (second / name).stat()
    (second / name).write_bytes(b"two" * 1000)
    os.utime(second / name, ns=(had.st_atime_ns, had.st_mtime_ns))
    third = back_up(host, target)
    assert (third / name).read_bytes() == b"one" * 1000
    assert not (third / name).samefile(second / name)


def test_only_this_hosts_older_backups_are_removed(host: Path, target: Path) -> None:
    mine = [renamed(back_up(host, target), f"2020010{day}T000000Z") for day in (1, 2)]
    told = json.loads((mine[0] / manifest.FILE).read_text())
    theirs = target / mine[0].name.replace("20200101", "20200103")
    shutil.copytree(mine[0], theirs)
    (theirs / manifest.FILE).write_text(json.dumps({**told, "host": "another"}))
    (target / f"samstudio-{socket.gethostname()}-20200104T000000Z").mkdir()
    (target / f"samstudio-{socket.gethostname()}-20200105T000000Z").write_text("a file")
    (target / f".samstudio-{socket.gethostname()}-20200106T000000Z.unfinished").mkdir()
    (target / "samstudio-notes").mkdir()
    before = {path.name for path in target.iterdir()}
    printed = run(host, "backup", "--to", str(target), "--keep", "2")
    assert printed["removed"] == [str(mine[0])]
    gone = before - {path.name for path in target.iterdir()}
    assert gone == {mine[0].name, f".samstudio-{socket.gethostname()}-20200106T000000Z.unfinished"}


def test_a_full_disk_is_refused_before_anything_is_written(host: Path, target: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(host)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room.SPARE_BYTES))
    error = fails(host, "backup", "--to", str(target))
    assert "no room" in error["message"]
    assert not target.exists()


def test_a_folder_that_is_not_there_is_no_empty_backup(host: Path, target: Path) -> None:
    (host.parent / "var").rename(host.parent / "elsewhere")
    assert "folder is not there" in fails(host, "backup", "--to", str(target))["message"]
    assert not target.exists()


@pytest.mark.parametrize("where", ["media", "media/deeper/backups"])
def test_a_backup_in_what_it_is_made_of_is_refused(host: Path, where: str) -> None:
    assert "made of" in fails(host, "backup", "--to", str(host.parent / "var" / where))["message"]


def test_a_write_that_fails_leaves_no_backup(host: Path, target: Path, monkeypatch: Any) -> None:
    def rot(source: Path, target: Path, advance: Any) -> str:
        target.write_bytes(b"rot")
        return "0" * 64

    monkeypatch.setattr(manifest, "copy", rot)
    assert "damaged" in fails(host, "backup", "--to", str(target))["message"]
    assert list(target.iterdir()) == []


def test_a_copy_that_lost_rows_is_noticed(host: Path, target: Path, monkeypatch: Any) -> None:
    honest = sqlite.copy

    def lossy(source: Path, target: Path, advance: Any) -> None:
        honest(source, target, advance)
        with closing(sqlite3.connect(target)) as copy:
            copy.execute("DELETE FROM task WHERE id = 5")
            copy.commit()

    monkeypatch.setattr(sqlite, "copy", lossy)
    error = fails(host, "backup", "--to", str(target))
    assert "'tasks': 4" in error["found"]
    assert list(target.iterdir()) == []


def test_a_database_that_is_written_all_the_time_is_copied_all_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sqlite, "STEP", 1)
    source = tmp_path / "source.sqlite3"
    with closing(sqlite3.connect(source)) as made:
        made.executescript(TABLES)
        made.executemany("INSERT INTO project VALUES (?)", [(each,) for each in range(20000)])
        made.commit()
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(source, timeout=30)) as person:
            while not stop.is_set():
                person.execute("INSERT INTO task DEFAULT VALUES")
                person.commit()

    person = threading.Thread(target=write)
    person.start()
    try:
        sqlite.copy(source, tmp_path / "copy.sqlite3")
    finally:
        stop.set()
        person.join()
    sqlite.check(tmp_path / "copy.sqlite3")
    assert sqlite.counts(tmp_path / "copy.sqlite3")["projects"] == 20000


def test_one_at_a_time_and_the_other_is_named(host: Path, target: Path) -> None:
    with lock.held(host, "restore"):
        error = fails(host, "backup", "--to", str(target))
    assert f"samstudio restore, process {os.getpid()}, since" in error["found"]
    assert not target.exists()
    back_up(host, target)


def test_who_only_looks_keeps_nobody_away(host: Path, target: Path) -> None:
    assert lock.holder(host) == ""
    with lock.held(host, "backup"):
        assert lock.holder(host).startswith("samstudio backup, process")
    assert lock.holder(host) == ""
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            lock.holder(host)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(50):
            with lock.held(host, "backup"):
                pass
    finally:
        stop.set()
        looking.join()


def test_a_restore_that_was_cut_off_is_in_the_way_of_everything_else(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    held = manifest.read(backup).contents
    cut_off = journal.Journal(journal.Phase.PROVING, str(backup), "2026-11-28", held, True, True, ())
    cut_off.reach(host, journal.Phase.PROVING)
    before = (host / journal.NAME).read_text()
    for words in (["backup", "--to", str(target)], ["restore", str(backup), "--check"], ["restore", "--rehearse"]):
        assert "samstudio restore --finish" in fails(host, *words)["command"]
    told = run(host, "restore", "--finish", "--check")
    assert told["changed"]
    assert "not proven yet" in told["said"]
    assert (host / journal.NAME).read_text() == before
    found = deployment.load(host)
    assert "not proven yet" in status.unfinished_restore(found)
    with lock.held(host, "restore"):
        assert "under way: samstudio restore" in status.unfinished_restore(found)


def test_a_lock_ends_with_its_process(host: Path, target: Path) -> None:
    script = "import os, signal, sys; from pathlib import Path; from samstudio import lock\n"
    script += "with lock.held(Path(sys.argv[1]), 'restore'): os.kill(os.getpid(), signal.SIGKILL)"
    ran = subprocess.run([sys.executable, "-c", script, host], env=os.environ, check=False, timeout=60)
    assert ran.returncode == -9
    assert "restore" in (host / lock.NAME).read_text()
    back_up(host, target)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda backup: (backup / "data/media/upload/one.png").write_bytes(b"two" * 1000), "other bytes"),
        (lambda backup: (backup / "database.sqlite3").unlink(), "database.sqlite3: missing"),
        (lambda backup: (backup / "more").touch(), "more: not in the manifest"),
        (lambda backup: (backup / manifest.FILE).unlink(), "no manifest.json"),
        (lambda backup: os.truncate(backup / manifest.FILE, 200), "ends too early"),
        (lambda backup: shutil.rmtree(backup), "no manifest.json"),
    ],
)
def test_a_damaged_backup_is_not_restored(
    host: Path, target: Path, damage: Callable[[Path], object], said: str
) -> None:
    backup = back_up(host, target)
    damage(backup)
    assert said in fails(host, "restore", str(backup), "--yes")["found"]
    assert journal.read(host) is None


@pytest.mark.parametrize(("tools", "label_studio"), [("0.9.0", "1.23.2"), (__version__, "1.22.0"), ("0.9.0", "1.22.0")])
def test_a_backup_of_other_versions_is_refused_with_the_command_that_brings_them(
    host: Path, target: Path, tools: str, label_studio: str
) -> None:
    backup = back_up(host, target)
    told = json.loads((backup / manifest.FILE).read_text())
    (backup / manifest.FILE).write_text(json.dumps({**told, "samstudio": tools, "label_studio": label_studio}))
    for words in (["--yes"], ["--check"], ["--rehearse"]):
        error = fails(host, "restore", str(backup), *words)
        here, wanted = (
            f"samstudio {__version__} with Label Studio 1.23.2",
            f"samstudio {tools} with Label Studio {label_studio}",
        )
        assert error["message"] == f"The backup was made by {wanted}, and {here} is deployed here."
        assert error["command"].startswith(f"cd /path/to/samstudio-{tools} && ./samstudio deploy ")
    assert journal.read(host) is None


def test_a_backup_of_another_kind_of_database_is_refused_with_the_command(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    described = yaml.safe_load((host / "deployment.yml").read_text())
    (host / "deployment.yml").write_text(yaml.safe_dump({**described, "database": {"kind": "postgresql"}}))
    assert "-e label_studio_database=sqlite" in fails(host, "restore", str(backup), "--yes")["command"]
    elsewhere = {"kind": "postgresql", "host": "db1"}
    (host / "deployment.yml").write_text(yaml.safe_dump({**described, "database": elsewhere}))
    for words in (["backup", "--to", str(target)], ["restore", str(backup), "--yes"]):
        assert "another host (db1)" in fails(host, *words)["message"]


def test_a_restore_is_asked_about(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    ran = typed("--config-dir", str(host), "restore", str(backup))
    assert ran.returncode == 2
    assert "1 projects, 5 tasks, 5 annotations" in ran.stderr
    assert f"samstudio restore {backup} --yes" in ran.stderr


@pytest.mark.parametrize("words", [["restore"], ["restore", "x", "--finish"]])
def test_a_restore_is_of_one_backup_or_is_finished(host: Path, words: list[str]) -> None:
    assert invoke(host, *words)[0] == 2


def test_where_nothing_is_deployed_nothing_is_backed_up_or_restored(tmp_path: Path) -> None:
    for words in (["backup", "--to", str(tmp_path / "to")], ["restore", str(tmp_path)], ["restore", "--finish"]):
        assert invoke(tmp_path, *words)[0] == 3
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_cut_off_is_not_finished(host: Path) -> None:
    printed = run(host, "restore", "--finish")
    assert (printed["changed"], printed["restored"]) == (False, False)


class Rows:
    def __init__(self, *rows: list[Any]) -> None:
        self.rows = rows

    def count(self, table: str) -> int:
        return len(self.rows)

    def annotations(self) -> Iterator[list[Any]]:
        yield from self.rows


def test_the_hash_is_of_what_people_made_however_a_database_writes_it() -> None:
    one = [1, 2, 3, 4, 0, 1, {"a": 1, "b": [1.5, "\u2603"]}]
    same = [1, 2, 3, 4, False, True, {"b": [1.5, "\u2603"], "a": 1}]
    assert contents.read(Rows(one)) == contents.read(Rows(same))
    for place, other in ((0, 9), (1, 9), (3, 9), (4, True), (5, False), (6, {"a": 2})):
        changed = [other if index == place else value for index, value in enumerate(one)]
        digests = {contents.read(Rows(each)).annotations_sha256 for each in (one, changed)}
        assert len(digests) == 2, place
