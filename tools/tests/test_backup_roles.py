"""What playbooks do about backups and restores: keep away from one that runs, finish one that was cut off."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from samstudio import lock

from tools.tests.test_roles import ROOT, ansible

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tags: [always]
  vars: {samstudio_config_dir: "{{ folder }}/etc"}
  tasks:
    - ansible.builtin.include_role: {name: samstudio_tools, tasks_from: "{{ entry }}", apply: {tags: [always]}}
"""


def test_a_deploy_keeps_away_from_a_restore_that_runs(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    said = ["-e", json.dumps({"folder": str(tmp_path), "entry": "alone"})]
    (tmp_path / "etc").mkdir()
    for words in ([], ["--check"], ["--tags", "label_studio"]):
        free = ansible("play.yml", *said, *words, cwd=tmp_path)
        assert free.returncode == 0, free.stdout
        assert "changed=0" in free.stdout
        with lock.held(tmp_path / "etc", "restore"):
            refused = ansible("play.yml", *said, *words, cwd=tmp_path)
        assert refused.returncode == 2, refused.stdout
        assert "samstudio restore, process" in refused.stdout
    assert [path.name for path in (tmp_path / "etc").iterdir()] == [lock.NAME]


def test_a_deploy_stops_only_where_a_restore_can_neither_be_finished_nor_taken_back(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    answers: dict[int, dict[str, Any]] = {
        0: {"changed": True},
        1: {"changed": True, "notes": ["deploy"]},
        2: {"error": {"message": "No."}},
    }
    for expected, answer in answers.items():
        script = f"import json, sys; print({json.dumps(json.dumps(answer))}); sys.exit({min(expected, 1)})"
        command = [sys.executable, "-c", script]
        said = {"folder": str(tmp_path), "entry": "finish_restore", "samstudio_tools_command": command}
        done = ansible("play.yml", "-e", json.dumps(said), cwd=tmp_path)
        assert done.returncode == (2 if "error" in answer else 0), done.stdout


def test_it_is_finished_before_secrets_are_made_for_what_is_not_there() -> None:
    tasks = yaml.safe_load((ROOT / "roles" / "samstudio_tools" / "tasks" / "main.yml").read_text())
    names = [task["name"] for task in tasks]
    assert names.index("Finish what was cut off, or take it back") < names.index("Create the secrets that are missing")


def test_nothing_is_started_or_removed_while_a_backup_or_a_restore_runs() -> None:
    def where(file: str, *path: str) -> list[str]:
        tasks = yaml.safe_load((ROOT / file).read_text())
        for key in path:
            tasks = tasks[0][key]
        return [(task.get("ansible.builtin.include_role") or {}).get("tasks_from", task["name"]) for task in tasks]

    assert where("playbooks/deploy.yml", "pre_tasks")[0] == "alone"
    assert where("playbooks/destroy.yml", "tasks")[0] == "alone"
    names = where("roles/label_studio/tasks/serve.yml")
    assert names[names.index("Start Label Studio") - 1] == "alone"
