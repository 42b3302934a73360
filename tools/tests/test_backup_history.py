"""Rehearsals of a restore; what is noted of the last backup and rehearsal, and when that is not healthy."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio import deployment
from samstudio.backup import history, journal, manifest, sqlite
from samstudio.backup import restore as restoring

from tools.tests.commands import fails, invoke, run
from tools.tests.test_backup_kept import back_up
from tools.tests.test_backup_kept import host as host
from tools.tests.test_backup_kept import target as target
from tools.tests.test_backup_killed import BAR, QUIET, killed


def beside(host: Path) -> list[str]:
    """What is in the folders that a restore copies into."""
    return sorted(path.name for path in [*host.parent.iterdir(), *host.glob("secrets*"), *host.glob("restore*")])


def noted(host: Path) -> dict[str, Any]:
    return history.report(deployment.load(host))


def test_a_rehearsal_takes_the_last_backup_and_leaves_only_its_note(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    before, live = beside(host), (host.parent / "var" / sqlite.NAME).read_bytes()
    printed = run(host, "restore", "--rehearse")
    assert (printed["changed"], printed["restored"]) == (False, False)
    assert (beside(host), (host.parent / "var" / sqlite.NAME).read_bytes()) == (before, live)
    good = noted(host)["rehearsal"]["good"]
    assert (good["backup"], good["contents"]) == (str(backup), str(manifest.read(backup).contents))
    assert noted(host)["backup"]["good"]["backup"] == str(backup)


def test_a_check_writes_nothing(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    run(host, "restore", str(backup), "--check")
    assert noted(host)["rehearsal"]["good"] is None


def test_a_rehearsal_compares_every_annotation_and_notes_that_they_differ(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    run(host, "restore", "--rehearse", str(backup))
    with closing(sqlite3.connect(backup / "database.sqlite3")) as copy:
        copy.execute("UPDATE task_completion SET ground_truth = 1 WHERE id = 3")
        copy.commit()
    told = json.loads((backup / manifest.FILE).read_text())
    told["files"]["database.sqlite3"]["sha256"] = manifest.sha256(backup / "database.sqlite3")
    (backup / manifest.FILE).write_text(json.dumps(told))
    before = beside(host)
    assert "not what was backed up" in fails(host, "restore", "--rehearse")["message"]
    assert beside(host) == before
    last = noted(host)["rehearsal"]
    assert "not what was backed up" in last["error"]
    assert last["good"]["backup"] == str(backup), "when it was good last is still known"


def test_a_backup_that_fails_is_noted_beside_the_last_good_one(host: Path, target: Path) -> None:
    backup = back_up(host, target)
    fails(host, "backup", "--to", str(host.parent / "var" / "inside"))
    last = noted(host)["backup"]
    assert ("made of" in last["error"], last["good"]["backup"]) == (True, str(backup))
    back_up(host, target.with_name("another"))
    assert noted(host)["backup"]["error"] == ""


def test_without_a_backup_nothing_is_rehearsed_and_that_is_a_failure(host: Path) -> None:
    assert invoke(host, "restore", "--rehearse")[0] == 3
    assert "no backup to rehearse" in noted(host)["rehearsal"]["error"]


def test_a_rehearsal_that_is_killed_is_in_nobodys_way(
    host: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = back_up(host, target)
    before = beside(host)
    found = deployment.load(host)
    usable = restoring.usable(found, backup, BAR)
    monkeypatch.setattr(restoring, "_own", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    for words in (["backup", "--to", str(target.with_name("another"))], ["restore", "--finish"]):
        assert killed(0, lambda: restoring.rehearse(found, backup, usable, BAR, QUIET))
        assert beside(host) != before
        assert journal.sentence(host) == ""
        run(host, *words)
        assert [name for name in beside(host) if name != "another"] == before


@pytest.mark.parametrize("words", [["--rehearse", "--finish"], ["--rehearse", "--check"]])
def test_a_rehearsal_is_nothing_else_as_well(host: Path, words: list[str]) -> None:
    assert invoke(host, "restore", *words)[0] == 2


def ago(**time: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**time)).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    ("backup", "rehearsal", "timer", "wrong"),
    [
        ({"days": 1}, {"days": 8}, {"days": 300}, []),
        ({"days": 3}, {"days": 8}, {"days": 300}, ["the last backup is 3 days old"]),
        ({"days": 1}, {"days": 15}, {"days": 300}, ["the last rehearsal is 15 days old"]),
        (None, None, {"hours": 1}, []),
        (None, None, {"days": 3}, ["no backup was made in 3 days"]),
        ({"days": 1}, None, {"days": 15}, ["no rehearsal was made in 15 days"]),
        ({"days": 1}, None, None, ["no rehearsal was made, and its timer is gone"]),
        ("failed", {"days": 1}, {"days": 1}, ["the last backup failed: The disk is full."]),
        ("damaged", {"days": 1}, {"days": 1}, ["the last backup failed: "]),
    ],
)
def test_old_or_failed_is_wrong_only_where_a_timer_was_asked_for(
    host: Path, backup: Any, rehearsal: Any, timer: Any, wrong: list[str]
) -> None:
    for kind, last in ((history.Kind.BACKUP, backup), (history.Kind.REHEARSAL, rehearsal)):
        good = {"ended": ago(**(last if isinstance(last, dict) else {"days": 1})), "backup": "x", "contents": "y"}
        told = {"ended": ago(hours=1), "error": "The disk is full." if last == "failed" else "", "good": good}
        if last:
            history.path(host, kind).write_text("{" if last == "damaged" else json.dumps(told))
    assert noted(host)["wrong"] == []
    unit = host / "backup.timer"
    if timer:
        unit.touch()
        os.utime(unit, (datetime.fromisoformat(ago(**timer)).timestamp(),) * 2)
    described = yaml.safe_load((host / "deployment.yml").read_text())
    (host / "deployment.yml").write_text(yaml.safe_dump({**described, "backups": {"timer": str(unit)}}))
    found = noted(host)["wrong"]
    assert len(found) == len(wrong)
    assert all(one.startswith(other) for one, other in zip(found, wrong, strict=True)), found
