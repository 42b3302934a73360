"""A deploy never lets Label Studio begin anew in another kind of database than the one that people worked in."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from tools.tests.test_roles import ROOT, ansible

PLAY = """
- hosts: label_studio_hosts
  gather_facts: false
  roles: [samstudio]
  tasks:
    - ansible.builtin.include_tasks: {file: case.yml}
      loop: "{{ cases }}"
      loop_control: {loop_var: case, label: "{{ case.name }}"}
    - ansible.builtin.copy: {content: "{{ said | to_json }}", dest: "{{ result }}", mode: "0600"}
"""
CASE = """
- block:
    - ansible.builtin.include_tasks: "{{ case.tasks }}"
      vars:
        samstudio_data_dir: "{{ case.folder }}"
        samstudio_config_dir: "{{ case.folder }}"
        label_studio_database: "{{ case.wanted }}"
        label_studio_version: "{{ case.version }}"
        database_may_differ: "{{ case.moves }}"
        __database_found_sqlite: {stat: {exists: "{{ case.sqlite }}"}}
        __database_found_postgresql: {stat: {exists: "{{ case.postgresql }}"}}
        __database_found_deployment: {content: "{{ case.deployment }}"}
    - ansible.builtin.set_fact: {said: "{{ said | default({}) | combine({case.name: ''}) }}"}
  rescue:
    - ansible.builtin.set_fact:
        said: "{{ said | default({}) | combine({case.name: [ansible_failed_result.msg] | flatten | join(' ')}) }}"
"""
TASKS = ROOT / "roles" / "database" / "tasks"
SQLITE, POSTGRESQL = "label-studio/label_studio.sqlite3", "postgresql/data/PG_VERSION"
MOVE, KEEP = "./samstudio move-to-postgresql", "Write label_studio_database: postgresql into"
#: name: what is there, the kind that the last deploy wrote down, the kind that is wanted; and what is said of it
CASES: dict[str, tuple[list[str], str, str, str]] = {
    "a new host": ([], "", "postgresql", ""),
    "SQLite, as before": ([SQLITE], "sqlite", "sqlite", ""),
    "SQLite, and PostgreSQL is wanted": ([SQLITE], "sqlite", "postgresql", MOVE),
    "SQLite of a deploy that wrote nothing": ([SQLITE], "", "postgresql", MOVE),
    "a move that was cut off": ([SQLITE, POSTGRESQL], "sqlite", "postgresql", MOVE),
    "a move that is not wanted any more": ([SQLITE, POSTGRESQL], "sqlite", "sqlite", ""),
    "a move that nobody wrote down": ([POSTGRESQL], "sqlite", "postgresql", ""),
    "PostgreSQL, with an old SQLite": ([SQLITE, POSTGRESQL], "postgresql", "postgresql", ""),
    "PostgreSQL, and SQLite is wanted": ([POSTGRESQL], "postgresql", "sqlite", KEEP),
    "an old SQLite is wanted": ([SQLITE, POSTGRESQL], "postgresql", "sqlite", KEEP),
    "a forgotten inventory after a move": ([POSTGRESQL], "sqlite", "sqlite", KEEP),
}


def test_nobody_is_shown_an_empty_label_studio(tmp_path: Path) -> None:
    for file in ("kind", "movable"):  # what is found is given; the last two look for themselves
        tasks = yaml.safe_load((TASKS / f"{file}.yml").read_text())
        judging = [task for task in tasks if "ansible.builtin.assert" in task]
        (tmp_path / f"{file}.yml").write_text(yaml.safe_dump(judging))
    judge, expected = str(tmp_path / "kind.yml"), {name: case[3] for name, case in CASES.items()}
    cases = [variables(tmp_path, name, judge) for name in CASES]
    moving = variables(tmp_path, "SQLite, and PostgreSQL is wanted", judge)
    more = {
        "moving": ({**moving, "moves": True}, ""),
        "movable": ({**moving, "tasks": str(tmp_path / "movable.yml")}, ""),
        "another version": (
            {**moving, "tasks": str(tmp_path / "movable.yml"), "version": "2.0"},
            "Found Label Studio 1.0",
        ),
        "done": ({**cases[7], "tasks": str(tmp_path / "movable.yml")}, "works on PostgreSQL already"),
        "not asked for": ({**cases[1], "tasks": str(tmp_path / "movable.yml")}, "Found label_studio_database=sqlite"),
        "SQLite is seen": ({**moving, "tasks": str(TASKS / "kind.yml")}, MOVE),
        "PostgreSQL is seen": ({**cases[-1], "tasks": str(TASKS / "kind.yml")}, KEEP),
    }
    for name, (case, said) in more.items():
        cases.append({**case, "name": name})
        expected[name] = said
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "case.yml").write_text(CASE)
    extra = json.dumps({"cases": cases, "result": str(tmp_path / "said")})
    done = ansible("-i", str(ROOT / "inventory" / "local"), "play.yml", "-e", extra, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "said").read_text())
    assert {name: said if said and said in told[name] else told[name] for name, said in expected.items()} == expected


def variables(folder: Path, name: str, tasks: str) -> dict[str, Any]:
    """A host as a case has it, on the disk and as what is found there."""
    there, kind, wanted, _ = CASES[name]
    host = folder / name
    host.mkdir(exist_ok=True)
    for each in there:
        (host / each).parent.mkdir(parents=True, exist_ok=True)
        (host / each).touch()
    described = yaml.safe_dump({"database": {"kind": kind}, "label_studio": {"version": "1.0"}} if kind else {})
    (host / "deployment.yml").write_text(described)
    return {
        "name": name,
        "tasks": tasks,
        "folder": str(host),
        "wanted": wanted,
        "version": "1.0",
        "moves": False,
        "sqlite": SQLITE in there,
        "postgresql": POSTGRESQL in there,
        "deployment": base64.b64encode(described.encode()).decode(),
    }


def test_every_road_to_a_deploy_looks_at_it() -> None:
    def imported(playbook: str) -> dict[str, Any]:
        (look,) = [
            each
            for each in yaml.safe_load((ROOT / playbook).read_text())
            if str(each.get("ansible.builtin.import_playbook", "")).endswith("preflight.yml")
        ]
        return dict(look.get("vars", {}))

    assert imported("site.yml") == {}
    assert imported("playbooks/move_to_postgresql.yml") == {"database_may_differ": True}
    checks = yaml.safe_load((ROOT / "roles" / "database" / "tasks" / "precheck.yml").read_text())
    assert [each for each in checks if each.get("ansible.builtin.include_tasks") == "kind.yml"]
