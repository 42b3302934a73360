"""Data that PostgreSQL of the image cannot read, or that the found password does not open, stops a deploy in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.tests.test_roles import ROOT, ansible

#: Stands for the engine: its image holds PostgreSQL 15, and the database `open` takes the password.
DOCKER = """#!/bin/sh
case "$*" in
    *" ls /usr/lib/postgresql") echo 15 ;;
    "exec open sh -c PGPASSWORD="*) ;;
    "exec closed sh -c PGPASSWORD="*)
        echo 'psql: error: FATAL:  password authentication failed for user "label_studio"' >&2; exit 2 ;;
    *) echo "not expected: $*" >&2; exit 9 ;;
esac
"""
CASE = """
    - block:
        - ansible.builtin.include_role: {{name: database, tasks_from: {file}}}
          vars: {{samstudio_data_dir: "{folder}/{there}", database_container: "{there}"}}
      rescue:
        - ansible.builtin.copy:
            content: "{{{{ [ansible_failed_result.msg] | flatten | join(' ') }}}}"
            dest: "{folder}/said-{file}-{there}"
            mode: "0600"
"""
PLAY = """
- hosts: label_studio_hosts
  gather_facts: false
  roles: [samstudio]
  vars: {preflight_rehearsal: false, database_image: "samstudio/postgresql:new"}
  tasks:
"""
#: a tasks file and what is there: what is said of it, "" for nothing
CASES = {
    ("version", "none"): "",
    ("version", "15"): "",
    ("version", "13"): "Found data of PostgreSQL 13",
    ("password", "open"): "",
    ("password", "closed"): "samstudio_new_secrets=true",
}


def test_found_data_that_cannot_be_served_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "docker"
    tool.parent.mkdir()
    tool.write_text(DOCKER)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    for version in ("13", "15"):
        data = tmp_path / version / "postgresql" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text(f"{version}\n")
    cases = [CASE.format(file=file, there=there, folder=tmp_path) for file, there in CASES]
    (tmp_path / "play.yml").write_text(PLAY + "".join(cases))
    done = ansible("-i", str(ROOT / "inventory" / "local"), "play.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for (file, there), expected in CASES.items():
        said = tmp_path / f"said-{file}-{there}"
        told = said.read_text() if said.exists() else ""
        assert (expected in told) if expected else told == "", (file, there, told)
