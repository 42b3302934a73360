"""Backups in a restic repository, by the real restic: sent, checked, pruned, fetched and rehearsed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from samstudio import deployment
from samstudio.backup import history, journal, make, manifest, room
from samstudio.backup.restic import FETCHED, STAGING

from tools.tests.commands import fails, invoke, run
from tools.tests.test_backup_kept import host as host

PASSWORD = "correct horse battery staple"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository; its password is in the file `password` beside it."""
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(PASSWORD + "\n")
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "cache"))
    restic(tmp_path / "repository", "init", "--quiet")
    return tmp_path / "repository"


def restic(repository: Path, *words: str) -> str:
    named = {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD_FILE": str(repository.with_name("password"))}
    argv = ["restic", *words]
    done = subprocess.run(argv, env={**os.environ, **named}, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def options(repository: Path, option: str) -> list[str]:
    return [option, f"restic:{repository}", "--password-file", str(repository.with_name("password"))]


def back_up(host: Path, repository: Path, *words: str) -> dict[str, Any]:
    return run(host, "backup", *options(repository, "--to"), *words)


def beside(host: Path) -> set[str]:
    return {path.name for path in [*host.parent.iterdir(), *host.iterdir()]}


def test_what_is_sent_comes_back_and_nothing_stays_beside(host: Path, repository: Path, tmp_path: Path) -> None:
    before = beside(host)
    for name in (STAGING, FETCHED):  # as a process that was killed leaves them
        (host.parent / name / "data").mkdir(parents=True)
    printed = back_up(host, repository)
    assert printed["repository"] == str(repository)
    snapshot = printed["backup"]
    restic(repository, "restore", "--quiet", snapshot, "--target", str(tmp_path / "seen"))
    found = manifest.read(tmp_path / "seen")
    manifest.check(tmp_path / "seen", found, lambda _: None)
    assert (found.contents.annotations, "data/media/upload/one.png" in found.files) == (5, True)
    shutil.rmtree(tmp_path / "seen")
    upload = host.parent / "var" / "media" / "upload" / "one.png"
    assert (upload.stat().st_nlink, upload.read_bytes()) == (1, b"one" * 1000)
    assert beside(host) - before == {"lock", "last-backup.json", "cache", FETCHED}

    run(host, "restore", "--rehearse")
    last = history.report(deployment.load(host))
    assert last["rehearsal"]["good"]["backup"] == last["backup"]["good"]["backup"] == snapshot
    assert last["rehearsal"]["good"]["repository"] == str(repository)
    for name in (snapshot, "latest"):
        told = run(host, "restore", name, *options(repository, "--from"), "--check")
        assert "is whole and fits" in told["said"]
    assert not {STAGING, FETCHED} & beside(host)
    assert journal.read(host) is None


def test_its_password_is_in_no_file_of_it_and_on_no_command_line(
    host: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []
    honest = subprocess.run

    def seen(argv: Any, **named: Any) -> Any:
        called.append((argv, sorted(named.get("env") or {})))
        return honest(argv, **named)

    monkeypatch.setenv("RESTIC_PASSWORD", "another one")
    monkeypatch.setattr(subprocess, "run", seen)
    back_up(host, repository)
    assert len(called) > 3
    assert PASSWORD not in str(called)
    assert not any("RESTIC_PASSWORD" in names for _, names in called)
    kept = [path for path in [*repository.rglob("*"), *host.rglob("*")] if path.is_file()]
    assert not any(b"battery staple" in path.read_bytes() or b"one" * 50 in path.read_bytes() for path in kept)


def test_only_this_hosts_older_backups_are_forgotten(host: Path, repository: Path, tmp_path: Path) -> None:
    for words in (["--host", "another", "--tag", "samstudio"], ["--tag", "mine"]):
        restic(repository, "backup", "--quiet", *words, str(host / "deployment.yml"))
    first = back_up(host, repository)["backup"]
    second = back_up(host, repository, "--keep", "2")
    third = back_up(host, repository, "--keep", "2")
    assert (second["removed"], third["removed"]) == ([], [first])
    assert restic(repository, "snapshots", "--json").count('"short_id"') == 4


def test_what_the_repository_lost_is_noticed_and_nothing_is_forgotten(host: Path, repository: Path) -> None:
    before = back_up(host, repository)["backup"]
    packs = [path for path in (repository / "data").rglob("*") if path.is_file()]
    max(packs, key=lambda path: path.stat().st_size).unlink()  # files' bytes; restic tries for minutes to read folders
    error = fails(host, "backup", *options(repository, "--to"), "--keep", "1")
    assert error["message"] == "restic check failed."
    last = history.report(deployment.load(host))["backup"]
    assert last["error"].startswith(error["message"])
    assert last["good"]["backup"] == before
    assert restic(repository, "snapshots", "--json").count('"short_id"') == 2
    assert not {STAGING, FETCHED} & beside(host)


def test_a_snapshot_that_holds_another_manifest_is_noticed(
    host: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = make.write

    def changed(*arguments: Any) -> Any:
        folder, written = honest(*arguments)
        other = back_up_of_yesterday(repository, folder)
        monkeypatch.setattr("samstudio.backup.restic.Repository.store", lambda *_: other)
        return folder, written

    monkeypatch.setattr(make, "write", changed)
    assert "does not hold what was sent" in fails(host, "backup", *options(repository, "--to"))["message"]


def back_up_of_yesterday(repository: Path, folder: Path) -> str:
    """A snapshot of a folder whose manifest says something else."""
    other = shutil.copytree(folder, repository.with_name("yesterday"))
    (other / manifest.FILE).write_text("{}")
    argv = ["backup", "--quiet", "--json", "."]
    named = {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD_FILE": str(repository.with_name("password"))}
    done = subprocess.run(["restic", *argv], cwd=other, env={**os.environ, **named}, capture_output=True, check=True)
    return str(done.stdout.decode().rpartition('"snapshot_id":"')[2].partition('"')[0])


def test_a_repository_is_never_made(host: Path, repository: Path) -> None:
    elsewhere = repository.with_name("not-mounted")
    words = ["--to", f"restic:{elsewhere}", "--password-file", str(repository.with_name("password"))]
    assert f"restic -r {elsewhere} " in (error := fails(host, "backup", *words))["command"]
    assert error["command"].endswith(" init")
    assert not elsewhere.exists()


def test_a_password_that_is_wrong_missing_or_open_to_others_is_named(host: Path, repository: Path) -> None:
    password = repository.with_name("password")
    password.write_text("wrong\n")
    assert "wrong password" in fails(host, "backup", *options(repository, "--to"))["found"]
    password.chmod(0o640)
    assert "is open to others" in fails(host, "backup", *options(repository, "--to"))["message"]
    password.unlink()
    assert "install -m 0600" in fails(host, "backup", *options(repository, "--to"))["command"]


@pytest.mark.parametrize(
    "words",
    [
        ["backup", "--to", "restic:/somewhere"],
        ["backup", "--to", "restic:", "--password-file", "/x"],
        ["backup", "--to", "restic:rest:https://me:secret@vault/", "--password-file", "/x"],
        ["restore", "latest", "--from", "/a/folder", "--password-file", "/x"],
        ["restore", "--rehearse", "--from", "restic:/a/folder", "--password-file", "/x"],
    ],
)
def test_half_a_repository_is_a_wrong_command_line(host: Path, words: list[str]) -> None:
    code, told = invoke(host, *words)
    assert code == 2
    assert "secret" not in str(told)


def test_uploads_take_no_room_on_their_way(host: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = host.parent / "var" / "media" / "upload" / "large.png"
    upload.write_bytes(bytes(1 << 20))
    copied: list[str] = []
    honest = manifest.copy

    def copy(source: Path, target: Path, advance: Any) -> str:
        copied.append(source.name)
        return honest(source, target, advance)

    usage = shutil.disk_usage(host)
    monkeypatch.setattr(manifest, "copy", copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room.SPARE_BYTES + (1 << 19)))
    back_up(host, repository)
    assert "deployment.yml" in copied
    assert not [name for name in copied if name.endswith(".png")]


def test_a_snapshot_without_room_for_it_is_not_fetched(
    host: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(host, repository)
    usage = shutil.disk_usage(host)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room.SPARE_BYTES))
    error = fails(host, "restore", "latest", *options(repository, "--from"), "--yes")
    assert "no room for what the repository holds" in error["message"]
    assert not {STAGING, FETCHED} & beside(host)
