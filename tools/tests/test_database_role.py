"""Data that PostgreSQL of the image cannot read, or that the found password does not open, stops a deploy in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.tests.test_roles import ROOT, ansible

#: Stands for the engine: its image holds PostgreSQL 15, and its database takes the password where `open` says so.
DOCKER = """#!/bin/sh
case "$*" in
    *" ls /usr/lib/postgresql") echo 15 ;;
    "exec label-studio-database sh -c PGPASSWORD="*) [ -e "$(dirname "$0")/open" ] || {
        echo 'psql: error: FATAL:  password authentication failed for user "label_studio"' >&2; exit 2; } ;;
    *) echo "not expected: $*" >&2; exit 9 ;;
esac
"""
PLAY = """
- hosts: label_studio_hosts
  gather_facts: false
  roles: [samstudio]
  vars: {preflight_rehearsal: false, database_image: "samstudio/postgresql:new"}
  tasks:
    - block:
        - ansible.builtin.include_role: {name: database, tasks_from: "{{ asked }}"}
      rescue:
        - ansible.builtin.copy:
            content: "{{ [ansible_failed_result.msg] | flatten | join(' ') }}"
            dest: "{{ said }}"
            mode: "0600"
"""


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        ("version", "15", ""),
        ("version", "", ""),
        ("version", "13", "Found data of PostgreSQL 13"),
        ("password", "open", ""),
        ("password", "", "samstudio_new_secrets=true"),
    ],
)
def test_found_data_that_cannot_be_served_is_an_error(
    tmp_path: Path, asked: str, there: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, said = tmp_path / "bin" / "docker", tmp_path / "said"
    tool.parent.mkdir()
    tool.write_text(DOCKER)
    tool.chmod(0o755)
    if asked == "password" and there:
        tool.with_name("open").touch()
    data = tmp_path / "data" / "postgresql" / "data"
    data.mkdir(parents=True)
    if asked == "version" and there:
        (data / "PG_VERSION").write_text(f"{there}\n")
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    (tmp_path / "play.yml").write_text(PLAY)
    given = {"asked": asked, "said": str(said), "samstudio_data_dir": str(tmp_path / "data")}
    inventory = str(ROOT / "inventory" / "local")
    done = ansible("-i", inventory, "play.yml", "-e", json.dumps(given), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    told = said.read_text() if said.exists() else ""
    assert expected in told if expected else told == ""
