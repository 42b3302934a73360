"""Who was given a secret by systemd gets another one: a restart, or the command for it. systemctl is a double."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from samstudio import credentials, deployment
from samstudio.backup import restore
from samstudio.backup.contents import Contents
from samstudio.backup.journal import Journal, Phase
from samstudio.backup.swap import SwapFolders
from samstudio.rotation import backend
from samstudio.secret_store import BACKEND_PASSWORD, POSTGRES_PASSWORD, SECRET_KEY, SecretStore

from tools.tests.commands import run
from tools.tests.test_roles import ROOT
from tools.tests.test_rotation import folder as folder
from tools.tests.test_rotation import quiet

CONTENTS = Contents(1, 1, 1, 1, 0, "")
PROMETHEUS, EXPORTER = "samstudio-prometheus", "samstudio-postgres-exporter"


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *, active: str = "", restarts: bool = True) -> Path:
    """A double of systemd's: this service is active, and restarts or does not. The file that notes each restart."""
    noted, program = folder / "restarts", folder / "bin" / "systemctl"
    program.parent.mkdir()
    noted.touch()
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = is-active ] && {{ [ "$3" = \'{active}\' ]; exit; }}\n'
        f'echo "$2 $(cat {folder}/secrets/{BACKEND_PASSWORD} | wc -l)" >> {noted}\n'
        f"exit {int(not restarts)}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return noted


def test_every_secret_that_systemd_hands_out_is_known() -> None:
    handed = {}
    for unit in (ROOT / "roles").glob("*/templates/*.service.j2"):
        for secret in re.findall(r"LoadCredential=\w+:.*/secrets/(\w+)", unit.read_text()):
            handed[secret] = unit.name.removesuffix(".service.j2")
    assert handed == credentials.HOLDERS


@pytest.mark.parametrize(("name", "service"), [(BACKEND_PASSWORD, PROMETHEUS), (POSTGRES_PASSWORD, EXPORTER)])
def test_the_service_that_holds_a_secret_is_restarted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, service: str
) -> None:
    noted = systemctl(folder, monkeypatch, active=service)
    did, notes = credentials.renew(name, quiet)
    assert (noted.read_text(), notes) == (f"{service} 1\n", [])
    assert service in did[0]
    assert credentials.renew(SECRET_KEY, quiet) == ([], [])


def test_what_does_not_run_is_not_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = systemctl(folder, monkeypatch, active="another")
    assert credentials.renew(BACKEND_PASSWORD, quiet) == ([], [])
    assert noted.read_text() == ""
    monkeypatch.setenv("PATH", str(folder))
    assert credentials.renew(BACKEND_PASSWORD, quiet) == ([], []), "there is no systemd at all"


def test_a_restart_that_fails_is_told_with_its_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl(folder, monkeypatch, active=EXPORTER, restarts=False)
    done = run(folder, "secrets", "rotate", POSTGRES_PASSWORD)
    assert f"sudo systemctl restart {EXPORTER}" in done["notes"][-1]
    assert SecretStore(folder / "secrets").unfinished() == []


def test_prometheus_is_restarted_once_the_backend_takes_the_new_password_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_require_accepted", lambda *_: None)
    monkeypatch.setattr(backend, "_give", lambda *_: [])
    SecretStore(folder / "secrets").write("label_studio_api_token", "a token")
    noted = systemctl(folder, monkeypatch, active=PROMETHEUS)
    done = run(folder, "secrets", "rotate", BACKEND_PASSWORD)
    assert noted.read_text() == f"{PROMETHEUS} 1\n", "of two lines it could make no password"
    assert any(PROMETHEUS in line for line in done["did"])


def test_a_restore_of_another_password_reaches_prometheus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted, live, kept = systemctl(folder, monkeypatch, active=PROMETHEUS), folder / "secrets", folder / "secrets.before"
    swaps = (SwapFolders(str(live), str(folder / "fresh"), str(kept)),)
    begun = Journal(Phase.PROVING, "backup", "2026-01-01T00:00:00+00:00", CONTENTS, True, True, swaps)
    for before, restarted in ((SecretStore(live).read(BACKEND_PASSWORD), ""), ("another", f"{PROMETHEUS} 1\n")):
        SecretStore(kept).write(BACKEND_PASSWORD, before)
        told = restore.settle(deployment.load(folder), begun, quiet)
        assert (noted.read_text(), any(PROMETHEUS in line for line in told.did)) == (restarted, bool(restarted))
