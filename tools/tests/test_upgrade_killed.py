"""An exchange of Label Studio that is killed at any of its steps, or goes wrong, leaves the older or the newer one."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from samstudio import deployment, status
from samstudio.backup import journal, service, sqlite, upgrade
from samstudio.backup import restore as restoring
from samstudio.backup.journal import Phase
from samstudio.errors import SamstudioError

from tools.tests import deployed
from tools.tests.commands import fails, invoke, run
from tools.tests.test_backup_killed import QUIET, killed

pytestmark = pytest.mark.integration

#: a Label Studio that migrates the database and tells so
MIGRATE = """
import os, sqlite3
with sqlite3.connect(os.environ["LABEL_STUDIO_BASE_DATA_DIR"] + "/label_studio.sqlite3") as database:
    database.execute("UPDATE project SET title = 'newer'")
"""
#: where the exchange and the way back have gone half-way; SAMSTUDIO_TEST_EVERY_STEP=1 kills at every step instead
BEGUN, PROVEN, WENT_BACK = (5, 7), (2, 3), (4, 9)
EVERY_STEP = bool(os.environ.get("SAMSTUDIO_TEST_EVERY_STEP"))
CUT_OFF = {phase for phase in Phase if phase.value in ("switching", "proving", "undoing", "finishing")}


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path, engine: docker.DockerClient, image: str
) -> Iterator[deployed.Host]:
    with (
        pytest.MonkeyPatch.context() as patch,
        deployed.light(tmp_path_factory.mktemp("host"), label_studio_cache, engine, image) as host,
    ):
        patch.setattr(service, "POLL_SECONDS", 0.1)
        patch.setattr(service, "READY_SECONDS", 20)
        yield host


@pytest.fixture
def older(host: deployed.Host) -> deployed.Host:
    """The host with its first Label Studio, one project and one annotation; nothing is kept of an upgrade."""
    become_older(host)
    return host


def become_older(host: deployed.Host) -> None:
    if journal.read(host.config, journal.KEPT):
        run(host.config, "rollback", "--yes")
    for left in host.data.glob("*newer*"):
        left.unlink()
    (host.config / upgrade.LAUNCH).write_text("older")
    with closing(sqlite3.connect(host.data / sqlite.NAME)) as database:
        database.execute("DELETE FROM project")
        database.execute("DELETE FROM task_completion")
        columns = database.execute("PRAGMA table_info(project)").fetchall()
        required = {column[1]: 0 for column in columns if column[3] and column[4] is None and not column[5]}
        values = {**required, "title": "older"}
        places = ", ".join("?" for _ in values)
        database.execute(f"INSERT INTO project ({', '.join(values)}) VALUES ({places})", [*values.values()])
        database.commit()
    annotate(host, "before", "2026-01-01")
    assert state(host) == "older"


def annotate(host: deployed.Host, by: str, when: str) -> None:
    with closing(sqlite3.connect(host.data / sqlite.NAME)) as database:
        database.execute(
            "INSERT INTO task_completion (result, was_cancelled, created_at, updated_at, result_count, ground_truth)"
            " VALUES (?, 0, ?, ?, 1, 0)",
            (json.dumps([{"by": by}]), when, when),
        )
        database.commit()


def annotated(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [json.loads(row[0])[0]["by"] for row in database.execute("SELECT result FROM task_completion")]


def make_newer(host: deployed.Host, before: str = MIGRATE) -> None:
    """What role label_studio does after `exchange begin`: a script, and a container of the same name that needs it."""
    script = host.config / upgrade.LAUNCH
    script.write_text("newer")
    launched = ["sh", "-c", 'grep -q newer /launch && exec python3 -c "$0"', before + deployed.LIGHT]
    host.make(launched, {str(script): "/launch"}, {"NEWER": "1"}).start()


def state(host: deployed.Host) -> str:
    """Which Label Studio runs on whose database, started by whose script; they must be one and the same's."""
    answered = host.wait()["projects"]
    container = "newer" if "NEWER=1" in host.container.attrs["Config"]["Env"] else "older"
    names = {*answered, container, (host.config / upgrade.LAUNCH).read_text()}
    assert len(names) == 1, f"a mixture: {names}"
    return str(names.pop())


def kills(action: Callable[[], object], half_way: tuple[int, ...]) -> Iterator[int]:
    """Let it be killed at step after step, and do it to its end at last."""
    for number in itertools.count(1) if EVERY_STEP else (*half_way, 1000):
        if not killed(number, action):
            return
        yield number


def test_a_kill_at_any_step_leaves_the_older_or_the_newer(older: deployed.Host) -> None:
    host, found = older, deployment.load(older.config)
    phases, ends = set(), set()

    def begin() -> None:
        upgrade.begin(found, lambda _: False, QUIET)

    def prove() -> None:
        upgrade.prove(found, lambda: None, QUIET)

    def go_back() -> None:
        upgrade.rollback(found, upgrade.to_go_back_to(found), QUIET)

    def ended() -> str:
        """What it comes to after a kill, by the next deploy."""
        if cut_off := journal.read(host.config):
            phases.add(cut_off.phase)
            assert "upgrade" in fails(host.config, "backup", "--to", str(host.config / "x"))["found"]
            assert "upgrade" in status.unfinished_restore(found)
        restoring.finish(found, QUIET)
        assert journal.read(host.config) is None
        assert annotated(host.data / sqlite.NAME) == ["before"]
        ends.add(now := state(host))
        assert bool(journal.read(host.config, journal.KEPT)) == (now == "newer")
        return now

    for _ in kills(begin, BEGUN):
        assert ended() == "older"
    make_newer(host)
    for _ in kills(prove, PROVEN):
        assert ended() == "newer"
        (host.config / journal.KEPT).rename(host.config / journal.NAME)
        cut = journal.read(host.config)
        assert cut
        cut.reach(host.config, Phase.PROVING)
    assert ended() == "newer"
    for number in kills(go_back, WENT_BACK):
        if EVERY_STEP:
            killed(1 + number % 3, lambda: restoring.finish(found, QUIET))
        if ended() == "older":
            begin()
            make_newer(host)
            prove()
    assert ended() == "older"
    assert phases == CUT_OFF
    assert ends == {"older", "newer"}
    assert {tuple(annotated(kept)) for kept in host.data.glob("*newer*")} <= {("before",)}, "kept if in doubt"


def test_a_click_that_works_no_more_takes_it_back_and_what_people_made_is_counted_and_kept(
    older: deployed.Host,
) -> None:
    def click() -> None:
        raise SamstudioError("No mask came back.")

    found = deployment.load(older.config)
    upgrade.begin(found, lambda _: True, QUIET)
    make_newer(older)
    with pytest.raises(SamstudioError, match="No mask came back"):
        upgrade.prove(found, click, QUIET)
    assert "not proven yet" in status.unfinished_restore(found)
    annotate(older, "meanwhile", "2099-01-01")
    code, asked = invoke(older.config, "rollback")
    assert code == 2
    assert "1 annotations" in asked["error"]["found"]
    assert run(older.config, "rollback", "--check")["made"] == "1 annotations"
    assert state(older) == "newer"
    done = run(older.config, "rollback", "--yes")
    assert done["made"] == "1 annotations"
    assert (state(older), annotated(older.data / sqlite.NAME)) == ("older", ["before"])
    assert oct(Path(done["log"]).stat().st_mode)[-3:] == "600"
    (kept,) = older.data.glob("*newer*")
    assert annotated(kept) == ["before", "meanwhile"]
    assert done["removals"] == [f"rm {kept}"]
    assert invoke(older.config, "rollback", "--yes")[0] == 3


def test_another_kind_of_database_at_once_is_refused(older: deployed.Host) -> None:
    path = older.config / "deployment.yml"
    described = path.read_text()
    path.write_text(described + "database: {kind: postgresql}\n")
    try:
        error = fails(older.config, "exchange", "begin")
    finally:
        path.write_text(described)
    assert "label_studio_database=sqlite" in error["command"]
    assert state(older) == "older"
    assert journal.read(older.config) is None


def test_forgetting_removes_what_is_kept_and_a_backup_never_holds_it(older: deployed.Host, tmp_path: Path) -> None:
    run(older.config, "exchange", "begin")
    make_newer(older)
    run(older.config, "exchange", "prove")
    found = deployment.load(older.config)
    assert status.kept(found).startswith("Label Studio ")
    (kept,) = older.data.glob("*older*")
    backup = Path(run(older.config, "backup", "--to", str(tmp_path))["backup"])
    assert not list(backup.rglob(f"*{kept.name}*"))
    assert run(older.config, "rollback", "--forget", "--check")["changed"] is True
    assert kept.exists()
    assert run(older.config, "rollback", "--forget")["changed"] is True
    assert not kept.exists()
    assert not older.engine.containers.list(all=True, filters={"name": f"{older.name}-before"})
    assert run(older.config, "rollback", "--forget")["changed"] is False
    assert status.kept(found) == ""
    assert state(older) == "newer"
