"""A deploy never lets Label Studio begin anew in another kind of database than the one that people worked in."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tools.tests.test_roles import ROOT, ansible

PLAY = """
- hosts: label_studio_hosts
  gather_facts: false
  roles: [samstudio]
  tasks:
    - ansible.builtin.import_role: {name: database, tasks_from: kind}
"""
ROLE = ROOT / "roles" / "database"
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


def refusal(file: str, case: str, **more: Any) -> str:
    """What the asserts of a tasks file say of a host as a case has it; "" where all hold."""
    there, kind, wanted, _ = CASES[case]
    described = {"database": {"kind": kind}, "label_studio": {"version": "1.0"}} if kind else {}
    given = {
        "__database_found_sqlite": {"stat": {"exists": SQLITE in there}},
        "__database_found_postgresql": {"stat": {"exists": POSTGRESQL in there}},
        "__database_found_deployment": {"content": base64.b64encode(yaml.safe_dump(described).encode()).decode()},
        "label_studio_database": wanted,
        "label_studio_version": "1.0",
        **dict.fromkeys(("inventory_hostname", "samstudio_label_studio_host", "samstudio_database_host"), "host"),
        **dict.fromkeys(("samstudio_data_dir", "samstudio_config_dir"), "/folder"),
        **more,
    }
    known = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    own = {name: trust_as_template(value) for name, value in known.items() if isinstance(value, str)}
    templar = Templar(loader=DataLoader(), variables={**own, **given})

    def holds(conditions: str | list[str]) -> bool:
        every = [conditions] if isinstance(conditions, str) else conditions
        return all(templar.template(trust_as_template(f"{{{{ {each} }}}}")) for each in every)

    for task in yaml.safe_load((ROLE / "tasks" / f"{file}.yml").read_text()):
        check = task.get("ansible.builtin.assert")
        if check and holds(task.get("when", [])) and not holds(check["that"]):
            lines = [check["fail_msg"]] if isinstance(check["fail_msg"], str) else check["fail_msg"]
            return " ".join(templar.template(trust_as_template(line)) for line in lines)
    return ""


@pytest.mark.parametrize("case", CASES)
def test_nobody_is_shown_an_empty_label_studio(case: str) -> None:
    said, expected = refusal("kind", case), CASES[case][3]
    assert expected in said if expected else said == ""
    assert refusal("kind", case, database_may_differ=True) == ""


@pytest.mark.parametrize(
    ("case", "more", "expected"),
    [
        ("SQLite, and PostgreSQL is wanted", {}, ""),
        ("a move that was cut off", {}, ""),
        ("a move that nobody wrote down", {}, ""),
        ("SQLite, and PostgreSQL is wanted", {"label_studio_version": "2.0"}, "Found Label Studio 1.0"),
        ("SQLite, and PostgreSQL is wanted", {"inventory_hostname": "another"}, "the database on host"),
        ("PostgreSQL, with an old SQLite", {}, "works on PostgreSQL already"),
        ("SQLite, as before", {}, "Found label_studio_database=sqlite"),
        ("a new host", {}, "nothing is deployed on this host"),
    ],
)
def test_what_can_be_moved(case: str, more: dict[str, Any], expected: str) -> None:
    said = refusal("movable", case, **more)
    assert expected in said if expected else said == ""


def test_what_is_on_the_host_is_what_is_judged(tmp_path: Path) -> None:
    (tmp_path / "label-studio").mkdir()
    (tmp_path / SQLITE).touch()
    (tmp_path / "play.yml").write_text(PLAY)
    given = {"samstudio_data_dir": str(tmp_path), "samstudio_config_dir": str(tmp_path)}
    extra = json.dumps({**given, "label_studio_database": "postgresql"})
    done = ansible("-i", str(ROOT / "inventory" / "local"), "play.yml", "-e", extra, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert MOVE in done.stdout
    assert str(tmp_path / SQLITE) in done.stdout


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
