"""The timers of role backups: what systemd itself says of them, and what their services may do."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tools.tests.test_roles import ROOT, ansible
from tools.tests.test_units import between, verify

WRITE = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {file: "{{ role }}/defaults/main.yml"}
    - ansible.builtin.include_vars: {file: "{{ role }}/vars/main.yml"}
    - ansible.builtin.template:
        src: "{{ role }}/templates/job.{{ item.1 }}.j2"
        dest: "{{ units }}/{{ item.0.name }}.{{ item.1 }}"
        mode: "0644"
      loop: "{{ __backups_jobs | product(['service', 'timer']) }}"
"""
NAMES = {f"samstudio-{job}.{kind}" for job in ("backup", "rehearsal") for kind in ("service", "timer")}


def write(folder: Path, **more: str) -> dict[str, str]:
    """What the role writes, by name."""
    written = folder / "written"
    written.mkdir()
    (folder / "play.yml").write_text(WRITE)
    told = {
        "role": str(ROOT / "roles" / "backups"),
        "units": str(written),
        "samstudio_config_dir": "/etc/samstudio",
        "samstudio_data_dir": "/srv/lab",
        "samstudio_tools_command": [sys.executable, "-m", "samstudio", "--config-dir", "/etc/samstudio"],
        **more,
    }
    done = ansible("play.yml", "-e", json.dumps(told), cwd=folder)
    assert done.returncode == 0, done.stdout
    return {path.name: path.read_text() for path in written.iterdir()}


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write(tmp_path_factory.mktemp("units"), backups_to="/mnt/nas/label studio")


def settings(unit: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and line[0] != "#")


def test_systemd_is_content_with_the_units(units: dict[str, str], tmp_path: Path) -> None:
    assert set(units) == NAMES
    assert verify(tmp_path, units) == ""


def test_systemd_would_name_a_timer_that_never_elapses(units: dict[str, str], tmp_path: Path) -> None:
    broken = {
        **units,
        "samstudio-backup.timer": units["samstudio-backup.timer"].replace("OnCalendar=", "OnCalendar=on "),
    }
    assert "samstudio-backup.timer" in verify(tmp_path, broken)


@pytest.mark.parametrize("kind", ["service", "timer"])
def test_the_rehearsal_comes_after_the_backup(units: dict[str, str], tmp_path: Path, kind: str) -> None:
    """After a night off both timers elapse at once."""
    cycle = between(f"samstudio-rehearsal.{kind}", f"samstudio-backup.{kind}")
    assert "ordering cycle" in verify(tmp_path, {**units, **cycle})


def test_they_do_what_a_person_types(units: dict[str, str]) -> None:
    called = {name: settings(text).get("ExecStart", "") for name, text in units.items()}
    assert called["samstudio-backup.service"].endswith("--quiet backup --to '/mnt/nas/label studio' --keep 14")
    assert called["samstudio-rehearsal.service"].endswith("--quiet restore --rehearse")


def test_they_write_where_data_and_backups_are_and_nowhere_else(units: dict[str, str]) -> None:
    for name in ("samstudio-backup.service", "samstudio-rehearsal.service"):
        found = settings(units[name])
        assert (found["ProtectSystem"], found["NoNewPrivileges"]) == ("strict", "yes")
        assert shlex.split(found["ReadWritePaths"]) == ["/etc/samstudio", "/srv/lab", "/mnt/nas/label studio"]
        assert set(found["CapabilityBoundingSet"].split()) == {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"}


@pytest.mark.parametrize(
    ("repository", "folders"),
    [("sftp:backup@vault:/label-studio", []), ("/mnt/usb/repository", ["/mnt/usb/repository"])],
)
def test_a_repository_on_another_host_is_no_folder_of_this_one(
    tmp_path: Path, repository: str, folders: list[str]
) -> None:
    units = write(tmp_path, backups_to=f"restic:{repository}", backups_password_file="/root/restic-password")
    assert verify(tmp_path / "verified", units) == ""
    found = settings(units["samstudio-backup.service"])
    assert f"--to restic:{repository} --keep 14 --password-file /root/restic-password" in found["ExecStart"]
    assert shlex.split(found["ReadWritePaths"])[2:] == folders
    assert found.get("RequiresMountsFor", "").split() == folders
