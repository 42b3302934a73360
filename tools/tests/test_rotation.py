"""What is written down while a secret is replaced, and what a rotation that fails or is killed leaves."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio import deployment
from samstudio.backup import restore, service
from samstudio.backup.postgresql import USER, PostgreSQL
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.rotation import database, rotate
from samstudio.rotation.label_studio import copy_of
from samstudio.secret_store import BACKEND_PASSWORD, GENERATED, POSTGRES_PASSWORD, SECRET_KEY, SecretStore

from tools.tests import postgresql
from tools.tests.commands import fails, invoke, run


def quiet(_: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder with secrets and their copies; Label Studio is taken for one that restarts well."""
    store = SecretStore(tmp_path / "etc" / "secrets")
    store.ensure()
    (tmp_path / "etc" / restore.COPIES).mkdir()
    for name in GENERATED:
        (tmp_path / "etc" / restore.COPIES / name).write_text(store.read(name) + "\n")
    (tmp_path / "etc" / "deployment.yml").write_text("project: {}\n")
    monkeypatch.setattr(service, "restart", lambda _: None)
    monkeypatch.setattr(service, "wait", lambda *_: None)
    monkeypatch.setattr(restore, "hand_on_token", lambda *_: (["made a new API token"], []))
    return tmp_path / "etc"


def test_the_next_value_is_kept_until_it_is_the_secrets(folder: Path) -> None:
    store = SecretStore(folder / "secrets")
    old = store.read(POSTGRES_PASSWORD)
    new = store.next(POSTGRES_PASSWORD)
    assert new != old
    assert (store.next(POSTGRES_PASSWORD), store.read(POSTGRES_PASSWORD)) == (new, old)
    assert store.unfinished() == [POSTGRES_PASSWORD]
    assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}
    store.settle(POSTGRES_PASSWORD)
    assert (store.read(POSTGRES_PASSWORD), store.unfinished()) == (new, [])


def test_of_two_passwords_the_first_is_used(folder: Path) -> None:
    store = SecretStore(folder / "secrets")
    store.write(BACKEND_PASSWORD, "old\nnew")
    assert (store.read(BACKEND_PASSWORD), store.content(BACKEND_PASSWORD)) == ("old", "old\nnew")
    assert store.unfinished() == [BACKEND_PASSWORD]
    assert store.ensure() == []
    assert store.content(BACKEND_PASSWORD) == "old\nnew"


def test_another_key_is_label_studios_once_it_has_restarted(folder: Path) -> None:
    store = SecretStore(folder / "secrets")
    old = store.read(SECRET_KEY)
    done = run(folder, "secrets", "rotate", SECRET_KEY)
    new = store.read(SECRET_KEY)
    assert new != old
    assert copy_of(deployment.load(folder), SECRET_KEY).read_text() == f"{new}\n"
    assert "sign in again" in done["notes"][0]
    assert new not in str(done)


def test_a_label_studio_that_does_not_come_up_gets_its_old_key_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise SamstudioError("Label Studio does not come up.")

    copy, seen = copy_of(deployment.load(folder), SECRET_KEY), []
    monkeypatch.setattr(service, "restart", lambda _: seen.append(copy.read_text().strip()))
    monkeypatch.setattr(service, "wait", down)
    old = SecretStore(folder / "secrets").read(SECRET_KEY)
    assert "does not come up" in fails(folder, "secrets", "rotate", SECRET_KEY)["message"]
    store = SecretStore(folder / "secrets")
    assert (store.read(SECRET_KEY), copy.read_text(), store.unfinished()) == (old, f"{old}\n", [])
    assert [each == old for each in seen] == [False, True]


def test_a_label_studio_that_does_not_come_up_leaves_the_password_that_everybody_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise SamstudioError("Label Studio does not come up.")

    (folder / "deployment.yml").write_text(yaml.safe_dump({"database": {"kind": "postgresql"}}))
    given: list[str] = []
    monkeypatch.setattr(database, "give", lambda _server, _copy, new: given.append(new))
    monkeypatch.setattr(service, "wait", down)
    assert "does not come up" in fails(folder, "secrets", "rotate", POSTGRES_PASSWORD)["message"]
    store, copy = SecretStore(folder / "secrets"), copy_of(deployment.load(folder), POSTGRES_PASSWORD)
    assert (store.read(POSTGRES_PASSWORD), copy.read_text()) == (given[0], f"{given[0]}\n"), "a deploy would give it"
    assert store.unfinished() == []


@pytest.mark.parametrize("name", [SECRET_KEY, POSTGRES_PASSWORD])
def test_a_kill_is_told_and_ended_by_the_same_command(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, old = SecretStore(folder / "secrets"), SecretStore(folder / "secrets").read(name)
    killed(lambda: run(folder, "secrets", "rotate", name), monkeypatch, SecretStore, "settle")
    new = store.next(name)
    assert (store.read(name), store.unfinished()) == (old, [name])
    run(folder, "secrets", "rotate", name)
    assert (store.read(name), store.unfinished()) == (new, [])


@pytest.mark.parametrize("words", [(), ("--all", SECRET_KEY), ("no_such_secret",)])
def test_it_says_which_secrets_there_are(folder: Path, words: tuple[str, ...]) -> None:
    before = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    status, answer = invoke(folder, "secrets", "rotate", *words)
    assert status == 2
    assert SECRET_KEY in answer["error"]["expected"]
    assert {path.name: path.read_text() for path in (folder / "secrets").iterdir()} == before


def test_a_database_elsewhere_is_refused_before_anything_is_changed(folder: Path) -> None:
    (folder / "deployment.yml").write_text(yaml.safe_dump({"database": {"kind": "postgresql", "host": "db1"}}))
    SecretStore(folder / "secrets").write("label_studio_api_token", "of before")
    before = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    error = fails(folder, "secrets", "rotate", "--all")
    assert "samstudio_new_secrets=true" in error["command"]
    assert {path.name: path.read_text() for path in (folder / "secrets").iterdir()} == before


@pytest.mark.integration
def test_postgresql_takes_the_new_password_and_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="pg") as place:
        Path(place).chmod(0o755)
        with postgresql.running(Path(place)) as server:
            found, copy = with_scram(server, folder, monkeypatch)
            store = SecretStore(folder / "secrets")
            old, inode = store.read(POSTGRES_PASSWORD), copy.stat().st_ino
            rotate.rotate(found, POSTGRES_PASSWORD, quiet)
            new = store.read(POSTGRES_PASSWORD)
            assert new != old
            assert (lets_in(server, new), lets_in(server, old)) == (True, False)
            assert (copy.read_text(), copy.stat().st_ino) == (f"{new}\n", inode), "a mounted file stays the same one"
            assert copy_of(found, POSTGRES_PASSWORD).read_text() == f"{new}\n"

            # A kill between the server and the copy: the copy's password lets nobody in any more.
            killed(lambda: rotate.rotate(found, POSTGRES_PASSWORD, quiet), monkeypatch, database, "_overwrite")
            assert (copy.read_text(), store.unfinished()) == (f"{new}\n", [POSTGRES_PASSWORD])
            assert not lets_in(server, new)
            rotate.rotate(found, POSTGRES_PASSWORD, quiet)
            third = store.read(POSTGRES_PASSWORD)
            assert third not in (old, new)
            assert (lets_in(server, third), store.unfinished()) == (True, [])

            # A password that PostgreSQL never had, as after a reinstall, is no reason to try others.
            copy.write_text("of another server\n")
            with pytest.raises(SamstudioError, match="neither its old password nor the next") as refused:
                rotate.rotate(found, POSTGRES_PASSWORD, quiet)
            assert "samstudio_new_secrets=true" in refused.value.command
            assert (copy.read_text(), store.read(POSTGRES_PASSWORD)) == ("of another server\n", third)
            log = (Path(place) / "log").read_text()
            assert not [each for each in (old, new, third, store.next(POSTGRES_PASSWORD)) if each in log]


def with_scram(server: postgresql.Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Deployment, Path]:
    """Make the server ask for passwords, and the tools' programs take theirs from the copy, as in its container."""
    copy = folder / database.COPY
    password = SecretStore(folder / "secrets").read(POSTGRES_PASSWORD)
    copy.write_text(f"{password}\n")
    with server.asked() as client:
        client.feed([f"ALTER ROLE {USER} PASSWORD '{password}';\n"], "postgres")
    (server.folder / "data" / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    subprocess.run(server.argv(["psql", "-qd", "postgres", "-c", "SELECT pg_reload_conf()"]), check=False, timeout=30)
    while lets_in(server, "not this one"):
        pass
    script = f'PGPASSWORD=$(cat {shlex.quote(str(copy))}) exec "$@"'
    monkeypatch.setattr(PostgreSQL, "_argv", lambda _, words: ["sh", "-c", script, "sh", *server.argv(words)])
    (folder / "deployment.yml").write_text(yaml.safe_dump({"database": {"kind": "postgresql"}}))
    return deployment.load(folder), copy


def lets_in(server: postgresql.Server, password: str) -> bool:
    words = server.argv(["psql", "--no-psqlrc", "-qd", "postgres", "-c", "SELECT 1"])
    asked = subprocess.run(words, env={**os.environ, "PGPASSWORD": password}, capture_output=True, timeout=30)
    return asked.returncode == 0


def killed(action: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
    """Do it in a process of its own that dies when it comes to this function."""
    child = os.fork()
    if not child:
        monkeypatch.setattr(where, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        action()
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
