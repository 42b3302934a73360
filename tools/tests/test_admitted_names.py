"""A name that Label Studio's guard admits means the addresses that it has where Label Studio runs, at that deploy."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from samstudio import ssrf

from tools.tests.test_roles import ansible

#: in place of the host's name service
GETENT = """#!/bin/sh
case $2 in
    minio.lab.example) printf '10.0.0.40 STREAM minio.lab.example\\n10.0.0.40 DGRAM\\n10.0.0.41 STREAM\\n' ;;
    own-name) printf '127.0.1.1 STREAM own-name\\n::1 STREAM\\n' ;;
    *) exit 2 ;;
esac
"""
PLAY = """
- hosts: all
  gather_facts: false
  roles: [samstudio]
  tasks:
    - ansible.builtin.import_role: {name: label_studio, tasks_from: precheck}
    - ansible.builtin.copy: {content: "{{ __label_studio_environment | to_json }}", dest: "{{ result }}", mode: "0600"}
"""
ADMITTED = {
    "good": ["minio.lab.example", "192.168.7.0/24"],
    "unknown": ["minio.lab.example", "no-such-store"],
    "itself": ["own-name"],
}


def test_names_are_looked_up_before_anything_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "getent").write_text(GETENT)
    (tmp_path / "bin" / "getent").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    hosts = {name: {"label_studio_admitted_addresses": admitted} for name, admitted in ADMITTED.items()}
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {group: {"hosts": hosts} for group in ("label_studio_hosts", "sam2_hosts")}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"children": groups, "vars": here}}))
    (tmp_path / "play.yml").write_text(PLAY)
    said = {"result": str(tmp_path / "said"), "samstudio_label_studio_host": "{{ inventory_hostname }}"}
    done = ansible("-i", "hosts.yml", "play.yml", "-e", json.dumps(said), cwd=tmp_path)
    told = " ".join(done.stdout.split())
    assert "Found no-such-store in label_studio_admitted_addresses" in told
    assert "Found own-name in label_studio_admitted_addresses" in told
    assert done.returncode == 2
    banned = json.loads((tmp_path / "said").read_text())["USER_ADDITIONAL_BANNED_SUBNETS"].split(",")
    for admitted in ("10.0.0.40", "10.0.0.41", "192.168.7.3", "172.30.9.20"):
        assert ssrf.blocking(banned, admitted) == []
    for refused in ("10.0.0.42", "192.168.8.1", "127.0.1.1"):
        assert ssrf.blocking(banned, refused)
