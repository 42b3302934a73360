"""A restore that is killed at any of its steps leaves the old state or the new one, and says so when asked."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import docker
import pytest
from samstudio import deployment, status
from samstudio.backup import journal, keep, make, manifest, service, sqlite
from samstudio.backup import restore as restoring
from samstudio.backup.journal import Phase
from samstudio.backup.swap import SwapFolders
from samstudio.deployment import Deployment

from tools.tests import deployed
from tools.tests.commands import fails, run

pytestmark = pytest.mark.integration

#: what a restore changes the world by: files get and lose their names, and the engine is asked (by a Unix socket)
STEPS = ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "socket.connect")
HERE = socket.gethostname()
QUIET: Any = lambda _: None  # noqa: E731
BAR: Any = lambda title, total: nullcontext(QUIET)  # noqa: E731


@pytest.fixture
def host(
    tmp_path: Path,
    label_studio_cache: Path,
    engine: docker.DockerClient,
    image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[deployed.Host]:
    monkeypatch.setattr(service, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(service, "READY_SECONDS", 20)
    with deployed.light(tmp_path, label_studio_cache, engine, image) as host:
        yield host


def become(host: deployed.Host, name: str) -> None:
    """Let a host have a project, an upload and a secret of this name, and nothing else of that kind."""
    with closing(sqlite3.connect(host.data / sqlite.NAME)) as database:
        database.execute("DELETE FROM project")
        database.execute("DELETE FROM task_completion")
        columns = database.execute("PRAGMA table_info(project)").fetchall()
        required = {column[1]: 0 for column in columns if column[3] and column[4] is None and not column[5]}
        values = {**required, "title": name}
        places = ", ".join("?" for _ in values)
        database.execute(f"INSERT INTO project ({', '.join(values)}) VALUES ({places})", [*values.values()])
        database.execute(
            "INSERT INTO task_completion (result, was_cancelled, created_at, updated_at, result_count, ground_truth)"
            " VALUES (?, 0, '2026-01-01', '2026-01-01', 1, 0)",
            (json.dumps([{"by": name}]),),
        )
        database.commit()
    for upload in (host.data / "media").glob("*.png"):
        upload.unlink()
    (host.data / "media" / f"{name}.png").write_text(name)
    host.secrets.write("label_studio_secret_key", name)
    copy = host.config / restoring.COPIES / "label_studio_secret_key"
    copy.write_text(name)
    host.container.restart(timeout=5)
    assert shown(host) == name


def shown(host: deployed.Host) -> str:
    """Whose project, upload and secret the running container has; they must be one and the same's."""
    seen = host.wait()
    names = {*seen["projects"], seen["key"], *(each[:-4] for each in seen["media"] if each.endswith(".png"))}
    assert len(names) == 1, f"a mixture: {seen}"
    return str(names.pop())


def on_disk(host: deployed.Host) -> str:
    with closing(sqlite3.connect(host.data / sqlite.NAME)) as database:
        titles = {row[0] for row in database.execute("SELECT title FROM project")}
        (by,) = (json.loads(row[0])[0]["by"] for row in database.execute("SELECT result FROM task_completion"))
    copy = (host.config / restoring.COPIES / "label_studio_secret_key").read_text().strip()
    uploads = {path.stem for path in (host.data / "media").glob("*.png")}
    names = {*titles, by, host.secrets.read("label_studio_secret_key"), copy, *uploads}
    assert len(names) == 1, f"a mixture: {names}"
    return str(names.pop())


def both(host: deployed.Host, folder: Path) -> dict[str, Path]:
    """A backup of each of two states; the host is left in the second one."""
    backups = {}
    for name in ("one", "two"):
        become(host, name)
        backups[name] = Path(run(host.config, "backup", "--to", str(folder / name))["backup"])
    return backups


def killed(number: int, action: Callable[[], object]) -> bool:
    """Let a process of its own do something and die at a step; False if it ended before."""
    child = os.fork()
    if not child:
        steps, last = 0, ""

        def at_a_step(event: str, arguments: Any) -> None:
            nonlocal steps, last
            remote = event == "socket.connect" and not isinstance(arguments[1], str)
            if event in STEPS and not remote:
                steps += not event == last == "socket.connect"  # who waits for the engine asks it again and again
                last = event
                if steps == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(at_a_step)
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0, f"it failed at step {number} by itself"
    return os.WIFSIGNALED(ended)


def restore(found: Deployment, backup: Path) -> restoring.Restored:
    return restoring.restore(found, backup, restoring.usable(found, backup, BAR), BAR, QUIET)


def test_a_kill_at_any_step_leaves_the_old_or_the_new(host: deployed.Host, tmp_path: Path) -> None:
    backups = both(host, tmp_path / "backups")
    found = deployment.load(host.config)
    now, ends, phases = "two", set(), set()
    for step in itertools.count(1):
        wanted = {"one": "two", "two": "one"}[now]
        if not killed(step, lambda backup=backups[wanted]: restore(found, backup)):  # type: ignore[misc]
            break
        host.container.reload()
        if host.container.status == "running":
            assert shown(host) in (now, wanted)
        cut_off = journal.read(host.config)
        if cut_off:
            phases.add(cut_off.phase)
            assert str(backups[wanted]) in fails(host.config, "backup", "--to", str(tmp_path / "x"))["found"]
            assert str(backups[wanted]) in status.unfinished_restore(found)
        killed(1 + step % 4, lambda: restoring.finish(found, QUIET))  # while it is finished or taken back, too
        done = restoring.finish(found, QUIET)
        before, now = now, on_disk(host)
        assert now in (before, wanted)
        assert now == wanted or done is None
        assert shown(host) == now
        assert journal.read(host.config) is None
        ends.add(now == wanted)
        time.sleep(max(0.0, 1 - time.time() % 1))  # the folders are named by the second
    assert step > 15
    assert phases == set(Phase) - {Phase.UNDOING, Phase.REHEARSING}
    assert ends == {True, False}


def test_a_backup_that_is_killed_leaves_none(host: deployed.Host, tmp_path: Path) -> None:
    found, target = deployment.load(host.config), tmp_path / "backups"

    def back_up() -> None:
        make.write(make.plan(found, target), BAR, QUIET)

    step = next(
        step for step in itertools.count(1) if not (killed(step, back_up) and keep.finished(target, HERE) == [])
    )
    assert step > 2
    (backup,) = keep.finished(target, HERE)
    assert [path.name for path in target.iterdir()] == [backup.name], "what was cut off is gone"
    manifest.check(backup, manifest.read(backup), QUIET)


def test_what_does_not_come_up_is_taken_back_and_kept(
    host: deployed.Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = both(host, tmp_path / "backups")
    described = json.loads((backups["one"] / "manifest.json").read_text())
    name = next(each for each in described["files"] if each.startswith("data/media/"))
    del described["files"][name]  # without uploads, this host's Label Studio answers no question
    (backups["one"] / name).unlink()
    (backups["one"] / "manifest.json").write_text(json.dumps(described))
    monkeypatch.setattr(service, "READY_SECONDS", 3)
    error = fails(host.config, "restore", str(backups["one"]), "--yes")
    assert error["message"] == "Label Studio does not come up. The old data is live again."
    assert (shown(host), on_disk(host)) == ("two", "two")
    (kept,) = host.data.parent.glob("label-studio.restoring-*")
    assert f"rm -r {kept}" in error["command"]
    assert journal.read(host.config) is None


def test_data_that_label_studio_changes_is_taken_back_and_what_people_do_is_not(
    host: deployed.Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = both(host, tmp_path / "backups")
    patient = service.wait

    def change(moment: str) -> Callable[..., None]:
        def wait(found: Deployment, say: Any) -> None:
            patient(found, say)
            with closing(sqlite3.connect(host.data / sqlite.NAME)) as database:
                database.execute(f"UPDATE task_completion SET updated_at = {moment}, ground_truth = 1")
                database.commit()

        return wait

    monkeypatch.setattr(service, "wait", change("'2026-01-02'"))
    error = fails(host.config, "restore", str(backups["one"]), "--yes")
    assert "does not show what was backed up" in error["message"]
    monkeypatch.setattr(service, "wait", patient)
    assert on_disk(host) == "two"
    time.sleep(1)
    monkeypatch.setattr(service, "wait", change("datetime('now')"))
    assert restore(deployment.load(host.config), backups["one"]).contents
    assert on_disk(host) == "one"


def test_an_engine_that_makes_an_empty_folder_between_two_renames_is_no_obstacle(tmp_path: Path) -> None:
    swap = SwapFolders(*(str(tmp_path / name) for name in ("live", "fresh", "kept")))
    for name in ("kept", "fresh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    (tmp_path / "live").mkdir()
    swap.back()
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["kept"]
    swap.back()
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["kept"]
    swap.remove(swap.fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["live"]
