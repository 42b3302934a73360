"""The verbs that run playbooks: what they ask, what they print, and how they end."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from samstudio import playbooks, summary
from samstudio.cli import app
from typer.testing import CliRunner

from tools.tests import documented

TOOLS = Path(__file__).parents[1]
SUMMARY: dict[str, Any] = {
    "finished": "2026-11-22T10:00:00Z",
    "label_studio": {
        "url": "http://127.0.0.1:8080",
        "version": "1.23.2",
        "admin_email": "admin@samstudio.local",
        "password_file": "/srv/etc/secrets/label_studio_admin_password",
    },
    "backend": {"model": "demo", "device": "cpu", "demo": True},
    "project": {"id": 1, "title": "SAM2 quick start", "url": "http://127.0.0.1:8080/projects/1/data"},
    "verified": {
        "iou": {"min": 0.91, "mean": 0.95},
        "clicks": [{}] * 8,
        "milliseconds": {"first": 900, "median": 80, "max": 900},
    },
}


def write(clone: Path, playbook: str, *tasks: dict[str, Any]) -> None:
    play = [{"name": "A play", "hosts": "all", "gather_facts": False, "tasks": list(tasks)}]
    (clone / playbook).write_text(json.dumps(play))


def say(message: object) -> dict[str, Any]:
    return {"name": "Say it", "ansible.builtin.debug": {"msg": message}}


def change(file: Path) -> dict[str, Any]:
    return {"name": "Change it", "ansible.builtin.copy": {"content": "x", "dest": str(file), "mode": "0644"}}


def on_a_terminal(*words: str, answer: str) -> tuple[int, str, str]:
    """Type a command at a terminal of its own and answer its question; gives exit code, stdout and stderr."""
    master, slave = pty.openpty()
    os.write(master, answer.encode() + b"\n")
    environment = {**os.environ, "PYTHONPATH": str(TOOLS)}
    ran = subprocess.run(
        [sys.executable, "-m", "samstudio", *words],
        stdin=slave,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    os.close(slave)
    os.close(master)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def destroying(clone: Path) -> Path:
    """A clone for two hosts, whose destroy says what it was told."""
    local = (clone / "inventory" / "local").read_text()
    (clone / "inventory" / "local").write_text(local + local.replace("localhost", "gpu1"))
    write(clone, "playbooks/destroy.yml", say("data: {{ samstudio_destroy_data | default(false) }}"))
    return clone


def test_destroy_says_what_it_removes_from_where_and_asks(destroying: Path) -> None:
    code, printed, asked = on_a_terminal("destroy", "--limit", "gpu1", answer="n")
    assert code == 1
    assert printed == "", "nothing was run"
    assert "removes from gpu1:" in asked
    assert "the images that were built" in asked
    assert "It keeps the data" in asked
    assert "localhost" not in asked

    code, printed, asked = on_a_terminal("destroy", answer="y")
    assert code == 0, asked
    assert "removes from gpu1, localhost:" in asked
    assert "data: False" in printed


def test_destroy_data_says_that_it_is_for_good(destroying: Path) -> None:
    code, printed, asked = on_a_terminal("destroy", "--data", answer="y")
    assert code == 0, asked
    assert "cannot be brought back" in asked
    assert "annotations" in asked
    assert "data: True" in printed


def test_destroy_without_a_terminal_wants_to_be_told(destroying: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["destroy"], ["destroy", "--data"], ["destroy", "--json"]):
        ran = CliRunner().invoke(app, words)
        assert ran.exit_code == 2
        assert "--yes" in ran.output
        assert capfd.readouterr().out == "", "nothing was run"
    assert CliRunner().invoke(app, ["destroy", "--data", "--yes"]).exit_code == 0
    assert "data: True" in capfd.readouterr().out


def test_the_command_that_is_offered_means_the_same_hosts(destroying: Path) -> None:
    for words in (["--limit", "gpu1"], ["--data", "-e", "a=b c"]):
        ran = CliRunner().invoke(app, ["destroy", *words, "--json"])
        offered = shlex.split(json.loads(ran.stdout)["error"]["command"])
        assert offered == ["samstudio", "destroy", *words, "--yes"]


def test_what_changes_nothing_is_not_asked_about(destroying: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert CliRunner().invoke(app, ["destroy", "--check"]).exit_code == 0
    assert "data: False" in capfd.readouterr().out
    assert CliRunner().invoke(app, ["destroy", "--list-tasks"]).exit_code == 0
    assert "Say it" in capfd.readouterr().out


def test_no_host_is_nothing_to_remove_from(destroying: Path) -> None:
    ran = CliRunner().invoke(app, ["destroy", "--limit", "gpu9"])
    assert ran.exit_code in (1, 3)
    assert "gpu9" in ran.output or "no host" in ran.output


def test_a_playbook_that_fails_ends_with_1_and_in_json_says_where(
    clone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = {"name": "Start it", "ansible.builtin.fail": {"msg": "no such thing"}}
    write(clone, "site.yml", change(tmp_path / "made"), broken)
    assert CliRunner().invoke(app, ["deploy"]).exit_code == 1
    capfd.readouterr()
    (tmp_path / "made").unlink()
    ran = CliRunner().invoke(app, ["deploy", "--json", "-e", "a=b"])
    assert ran.exit_code == 1
    told = json.loads(ran.stdout)
    documented.check(["deploy"], told)
    assert told["changed"] is True
    assert told["error"]["found"] == "localhost, Start it: no such thing"
    assert told["error"]["command"].startswith("samstudio deploy -e a=b ")
    assert "no such thing" in capfd.readouterr().err or capfd.readouterr().out == ""


@pytest.mark.parametrize("connection", ["local", "ssh"])
@pytest.mark.parametrize("given", ["", "--become-password-file wrong"])
def test_a_host_whose_sudo_wants_a_password_is_named_with_the_way_out(
    clone: Path, given: str, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo and ssh are played: the real sudo asks no root, who runs these tests, and there is no other host."""
    played = {
        "sudo": """
            case "$*" in *" -n "*) echo 'sudo: a password is required' >&2; exit 1 ;; esac
            while [ "$1" != -p ]; do shift; done
            printf %s "$2" >&2; read -r given; echo 'Sorry, try again.' >&2; sleep 1""",
        "ssh": 'for last; do :; done; exec sh -c "$last"',
    }
    for name, script in played.items():
        (clone / name).write_text(f"#!/bin/sh\n{script}\n")
        (clone / name).chmod(0o755)
    (clone / "lab.ini").write_text(
        f"lab1 ansible_connection={connection} ansible_ssh_executable={clone}/ssh ansible_become_exe={clone}/sudo "
        f"ansible_become=true ansible_become_user=nobody ansible_python_interpreter={sys.executable}\n"
    )
    (clone / "wrong").write_text("not the password")
    monkeypatch.chdir(clone)
    write(clone, "site.yml", {"name": "Look", "ansible.builtin.setup": {}})
    ran = CliRunner().invoke(app, ["deploy", "-i", "lab.ini", *given.split(), "--json"])
    assert ran.exit_code == 1
    told = json.loads(ran.stdout)["error"]
    assert told["message"].startswith("sudo wants a password on lab1")
    assert "lab1, Look: " in told["found"]
    assert told["command"] == f"samstudio deploy -i lab.ini {given or '--ask-become-pass'}"


def test_secrets_of_a_failed_task_stay_hidden(clone: Path) -> None:
    broken = {"name": "Start it", "ansible.builtin.fail": {"msg": "hunter2"}, "no_log": True}
    write(clone, "site.yml", broken)
    ran = CliRunner().invoke(app, ["deploy", "--json"])
    assert ran.exit_code == 1
    assert "hunter2" not in ran.output
    assert "Start it" in json.loads(ran.stdout)["error"]["found"]


def test_an_upgrade_names_the_archives_and_says_what_goes_on_with_them(clone: Path) -> None:
    write(clone, "site.yml", say("{{ build_context_archives }}"), {"ansible.builtin.fail": {"msg": "not today"}})
    ran = CliRunner().invoke(app, ["upgrade", "--security", "--json", "-e", "a=b"])
    told = json.loads(ran.stdout)
    documented.check(["upgrade"], told)
    named = json.loads(shlex.split(told["error"]["command"], comments=True)[3])
    assert re.fullmatch(r"\d{8}T\d{6}Z", named["build_context_archives"])
    assert told["error"]["command"].startswith("samstudio deploy -e ")
    assert CliRunner().invoke(app, ["upgrade"]).exit_code == 2


@pytest.mark.parametrize("verb", ["preflight", "deploy", "verify", "destroy"])
def test_json_says_what_a_run_came_to(
    verb: str, clone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"name": "Hand over", "ansible.builtin.set_stats": {"data": {"samstudio_summary": SUMMARY}}}
    write(clone, playbooks.PLAYBOOKS[verb], say(["one", "two"]), change(tmp_path / "made"), given)
    words = [verb, "--json", *(["--yes"] if verb == "destroy" else [])]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    documented.check(words, told)
    assert told["changed"] is True
    assert told["hosts"]["localhost"] == {"ok": 3, "changed": 1, "failures": 0, "unreachable": 0, "skipped": 0}
    assert told["messages"] == [{"host": "localhost", "message": "one\ntwo"}]
    assert told["summary"] == SUMMARY
    assert capfd.readouterr().out == "", "Ansible's display is on stderr"
    if verb == "deploy":
        assert json.loads(CliRunner().invoke(app, words).stdout)["changed"] is False


def test_deploy_ends_with_the_panel_of_the_host_it_deployed(clone: Path) -> None:
    data = {"samstudio_summary": SUMMARY, "samstudio_host": "gpu1.example.com"}
    write(clone, "site.yml", {"name": "Hand over", "ansible.builtin.set_stats": {"data": data}})
    ran = CliRunner().invoke(app, ["deploy"])
    assert ran.exit_code == 0, ran.output
    assert "password in /srv/etc/secrets/label_studio_admin_password on gpu1.example.com" in ran.stdout
    assert "ssh -L 8080:localhost:8080 gpu1.example.com" in ran.stdout
    write(clone, "site.yml", say("a deploy that verified nothing"))
    assert "password in" not in CliRunner().invoke(app, ["deploy"]).stdout


def shown(data: dict[str, Any]) -> str:
    console = Console(width=120, record=True)
    console.print(summary.panel(data))
    return console.export_text()


def test_the_panel_says_where_to_go_and_what_was_proven() -> None:
    text = shown(SUMMARY)
    for part in ("projects/1/data", "label_studio_admin_password", "IoU min 0.91", "demo model"):
        assert part in text
    assert "ssh" not in text
    assert "demo model" not in shown({**SUMMARY, "backend": {"model": "large", "device": "cuda", "demo": False}})


@pytest.mark.parametrize(("connection", "host"), [("local", ""), ("ssh", "192.0.2.7")])
def test_the_playbook_that_verifies_hands_over_what_the_panel_shows(clone: Path, connection: str, host: str) -> None:
    """The very task of playbooks/verify.yml, after a click that said what it says."""
    (play,) = yaml.safe_load((TOOLS.parent / "playbooks" / "verify.yml").read_text())
    (task,) = [task for task in play["tasks"][0]["block"] if "ansible.builtin.set_stats" in task]
    clicked = {"stdout": json.dumps({"changed": False, "summary": SUMMARY})}
    facts = {"samstudio_tools_result": clicked, "ansible_connection": connection, "ansible_host": "192.0.2.7"}
    write(clone, "site.yml", {**task, "vars": facts})
    told = json.loads(CliRunner().invoke(app, ["deploy", "--json"]).stdout)
    assert told["summary"] == SUMMARY
    assert told["label_studio_host"] == host


def test_without_ansible_it_says_what_to_install(tmp_path: Path) -> None:
    """As where the package is installed alone: an import of Ansible finds nothing."""
    hide = "import sys; sys.modules['ansible'] = None; from samstudio.cli import main; main()"
    for words in (["deploy"], ["preflight"], ["destroy"], ["verify"], ["bundle", "create"]):
        ran = subprocess.run(
            [sys.executable, "-c", hide, *words],
            env={**os.environ, "PYTHONPATH": str(TOOLS)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 1, ran.stderr
        assert "needs Ansible" in ran.stderr
        assert "pip install './tools[deploy]'" in ran.stderr
