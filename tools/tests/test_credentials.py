"""A new secret is written into the copies that Prometheus has, as the role would. systemctl is a double."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from samstudio import credentials, deployment
from samstudio.backup import restore
from samstudio.backup.contents import Contents
from samstudio.backup.journal import Journal, Phase
from samstudio.backup.swap import SwapFolders
from samstudio.rotation import backend
from samstudio.secret_store import BACKEND_PASSWORD, GENERATED, POSTGRES_PASSWORD, SecretStore

from tools.tests.commands import run
from tools.tests.test_roles import ROOT, ansible
from tools.tests.test_rotation import folder as folder
from tools.tests.test_rotation import killed, quiet

ROLE = ROOT / "roles" / "monitoring"
EXPORTER = "samstudio-postgres-exporter"
CONTENTS = Contents(1, 1, 1, 1, 0, "")
#: What the role does, on a host whose database is on another one.
PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{python}"
    samstudio_config_dir: "{folder}"
    samstudio_no_log: true
    preflight_rehearsal: false
    samstudio_label_studio_host: localhost
    samstudio_database_host: another
    label_studio_database: postgresql
  tasks:
    - ansible.builtin.include_vars: {{file: "{role}/defaults/main.yml"}}
    - ansible.builtin.include_vars: {{file: "{role}/vars/main.yml"}}
    - ansible.builtin.file: {{path: "{folder}/monitoring", state: directory, mode: "0755"}}
    - ansible.builtin.include_tasks: "{role}/tasks/secrets.yml"
"""


@pytest.fixture
def copies(folder: Path) -> Path:
    """The role's folder of copies, with those of a deploy."""
    made = folder / credentials.FOLDER
    made.mkdir(parents=True)
    for name, held in credentials.COPIES.items():
        (made / held.name).write_text(SecretStore(folder / "secrets").read(name) + "\n")
        (made / held.name).chmod(0o400)
    return made


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *, active: str = "", restarts: bool = True) -> Path:
    """A double of systemd's: this service is active, and restarts or does not. The file that notes each restart."""
    noted, program = folder / "restarts", folder / "bin" / "systemctl"
    program.parent.mkdir()
    noted.touch()
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = is-active ] && {{ [ "$3" = \'{active}\' ]; exit; }}\n'
        f'echo "$2 $(ls {folder}/secrets | grep -c next)" >> {noted}\n'
        f"exit {int(not restarts)}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return noted


def test_the_role_makes_the_copies_that_are_renewed(folder: Path) -> None:
    copied = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__monitoring_copied"]
    made = re.findall(r"'name': '(\w+)', 'of': samstudio_config_dir ~ '/secrets/(\w+)'", copied)
    assert {secret: name for name, secret in made} == {secret: held.name for secret, held in credentials.COPIES.items()}
    told = {
        unit.name.removesuffix(".service.j2"): re.findall(r"__monitoring_secrets }}/(\w+_password)", unit.read_text())
        for unit in (ROLE / "templates").glob("*.service.j2")
    }
    at_start = {held.service: [held.name] for held in credentials.COPIES.values() if held.service}
    assert {service: names for service, names in told.items() if names} == at_start


def test_a_deploy_after_a_rotation_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SecretStore(folder / "secrets")
    store.write(BACKEND_PASSWORD, "old\nnew")
    certificate = folder / "label-studio-secrets" / "database.crt"
    certificate.write_text("of\nseveral\nlines\n")
    (folder / "play.yml").write_text(PLAY.format(folder=folder, role=ROLE, python=sys.executable))
    written = folder / credentials.FOLDER

    def deploy() -> int:
        done = ansible("-i", "localhost,", "-c", "local", "play.yml", cwd=folder)
        assert done.returncode == 0, done.stdout
        return int(re.findall(r"changed=(\d+)", done.stdout)[0])

    assert deploy() > 0
    assert {path.name: path.read_text() for path in written.iterdir()} == {
        "backend_password": "old\n",
        "postgres_password": f"{store.read(POSTGRES_PASSWORD)}\n",
        "database.crt": "of\nseveral\nlines\n",
    }
    kept = {path: (path.owner(), path.group(), path.stat().st_mode & 0o777) for path in written.iterdir()}
    assert set(kept.values()) == {("prometheus", "root", 0o400)}
    systemctl(folder, monkeypatch)
    store.write(BACKEND_PASSWORD, "new")
    credentials.renew(deployment.load(folder), BACKEND_PASSWORD, "new", quiet)
    assert (written / "backend_password").read_text() == "new\n"
    assert kept == {path: (path.owner(), path.group(), path.stat().st_mode & 0o777) for path in written.iterdir()}
    assert deploy() == 0


@pytest.mark.parametrize(("name", "restarts"), [(BACKEND_PASSWORD, ""), (POSTGRES_PASSWORD, f"{EXPORTER} 0\n")])
def test_who_reads_its_copy_at_the_start_is_restarted(
    folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch, name: str, restarts: str
) -> None:
    noted = systemctl(folder, monkeypatch, active=EXPORTER)
    did, notes = credentials.renew(deployment.load(folder), name, "another", quiet)
    held = copies / credentials.COPIES[name].name
    assert (held.read_text(), held.stat().st_mode & 0o777) == ("another\n", 0o400)
    assert (noted.read_text(), notes) == (restarts, [])
    assert name in did[0]


def test_what_does_not_run_is_not_started(folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted, found = systemctl(folder, monkeypatch, active="another"), deployment.load(folder)
    for path in (str(folder / "bin"), str(folder)):  # and where there is no systemd at all
        monkeypatch.setenv("PATH", path)
        assert credentials.renew(found, POSTGRES_PASSWORD, path, quiet)[1] == []
        assert ((copies / "postgres_password").read_text(), noted.read_text()) == (f"{path}\n", "")


def test_without_monitoring_there_is_nothing_to_renew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl(folder, monkeypatch, active=EXPORTER, restarts=False)
    for name in credentials.COPIES:
        assert credentials.renew(deployment.load(folder), name, "another", quiet) == ([], [])
    assert not (folder / credentials.FOLDER).exists()


def backend_takes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_require_accepted", lambda *_: None)
    monkeypatch.setattr(backend, "_give", lambda *_: [])
    SecretStore(folder / "secrets").write("label_studio_api_token", "a token")


def test_prometheus_has_the_new_password_before_the_old_one_is_dropped(
    folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend_takes_it(folder, monkeypatch)
    store, seen = SecretStore(folder / "secrets"), []
    old = store.read(BACKEND_PASSWORD)
    write, held = SecretStore.write, copies / "backend_password"

    def noted(self: SecretStore, name: str, value: str) -> None:
        seen.append((len(value.splitlines()), held.read_text().strip() == old))
        write(self, name, value)

    monkeypatch.setattr(SecretStore, "write", noted)
    done = run(folder, "secrets", "rotate", BACKEND_PASSWORD)
    assert seen == [(2, True), (1, False)]
    assert held.read_text() == f"{store.read(BACKEND_PASSWORD)}\n"
    assert any("Prometheus" in line for line in done["did"])


@pytest.mark.parametrize("name", [BACKEND_PASSWORD, POSTGRES_PASSWORD])
def test_a_kill_before_prometheus_has_it_is_ended_by_the_same_command(
    folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    backend_takes_it(folder, monkeypatch)
    (folder / "deployment.yml").write_text("database: {kind: postgresql}\n")
    monkeypatch.setattr("samstudio.rotation.database.give", lambda *_: None)
    noted = systemctl(folder, monkeypatch, active=EXPORTER)
    store, held = SecretStore(folder / "secrets"), copies / credentials.COPIES[name].name
    killed(lambda: run(folder, "secrets", "rotate", name), monkeypatch, credentials, "renew")
    assert (store.unfinished(), noted.read_text()) == ([name], "")
    run(folder, "secrets", "rotate", name)
    assert (held.read_text(), store.unfinished()) == (f"{store.read(name)}\n", [])
    assert noted.read_text() == (f"{EXPORTER} 1\n" if name == POSTGRES_PASSWORD else "")


def test_a_restart_that_fails_is_told_with_its_command(
    folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "deployment.yml").write_text("database: {kind: postgresql}\n")
    monkeypatch.setattr("samstudio.rotation.database.give", lambda *_: None)
    systemctl(folder, monkeypatch, active=EXPORTER, restarts=False)
    done = run(folder, "secrets", "rotate", POSTGRES_PASSWORD)
    assert f"sudo systemctl restart {EXPORTER}" in done["notes"][-1]
    assert SecretStore(folder / "secrets").unfinished() == []


def test_a_restore_of_another_password_reaches_prometheus(
    folder: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, kept, held = folder / "secrets", folder / "secrets.before", copies / "backend_password"
    for name in GENERATED:
        SecretStore(kept).write(name, SecretStore(live).read(name))
    swaps = (SwapFolders(str(live), str(folder / "fresh"), str(kept)),)
    begun = Journal(Phase.PROVING, "backup", "2026-01-01T00:00:00+00:00", CONTENTS, True, True, swaps)
    told = restore.settle(deployment.load(folder), begun, quiet)
    assert not any("Prometheus" in line for line in told.did)
    SecretStore(live).write(BACKEND_PASSWORD, "of the backup")
    told = restore.settle(deployment.load(folder), begun, quiet)
    assert (held.read_text(), any("Prometheus" in line for line in told.did)) == ("of the backup\n", True)
