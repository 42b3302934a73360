from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from samstudio import playbooks
from samstudio.bundle import check, collect
from samstudio.cli import app
from samstudio.errors import SamstudioError
from typer.testing import CliRunner

from tools.tests import documented

TOOLS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("verb", "extra", "argv"),
    [
        ("deploy", [], ("-i", "/clone/inventory/local", "/clone/site.yml")),
        ("deploy", ["-i", "lab"], ("/clone/site.yml", "-i", "lab")),
        ("deploy", ["--inventory=lab"], ("/clone/site.yml", "--inventory=lab")),
        (
            "verify",
            ["--check", "--diff", "-e", "x=1"],
            ("-i", "/clone/inventory/local", "/clone/playbooks/verify.yml", "--check", "--diff", "-e", "x=1"),
        ),
    ],
)
def test_arguments_pass_through(verb: str, extra: list[str], argv: tuple[str, ...]) -> None:
    assert playbooks.prepare(verb, extra, Path("/clone"), {}).argv == ("ansible-playbook", *argv)


def test_the_callers_settings_win() -> None:
    ours = playbooks.prepare("deploy", [], Path("/clone"), {"ANSIBLE_CALLBACK_PLUGINS": "/theirs"}).environment
    assert ours["ANSIBLE_CALLBACK_PLUGINS"] == "/clone/tools/ansible/callback:/theirs"
    assert ours["ANSIBLE_CONFIG"] == "/clone/ansible.cfg"
    theirs = {"ANSIBLE_CONFIG": "/theirs.cfg"}
    added = {
        "ANSIBLE_CALLBACK_PLUGINS": "/clone/tools/ansible/callback",
        playbooks.LAST_RUN_VARIABLE: "/clone/.cache/last-run/deploy.json",
    }
    assert playbooks.prepare("deploy", ["-vv"], Path("/clone"), theirs).environment == added
    theirs["ANSIBLE_STDOUT_CALLBACK"] = "yaml"
    assert playbooks.prepare("deploy", [], Path("/clone"), theirs).environment == added


@pytest.mark.parametrize("extra", [["--check"], ["--tags", "verify"], ["--skip-tags", "x"], ["--limit", "gpu1"]])
def test_a_part_of_a_run_teaches_nothing_about_the_whole(extra: list[str]) -> None:
    assert playbooks.LAST_RUN_VARIABLE in playbooks.prepare("deploy", ["-e", "a=b"], Path("/clone"), {}).environment
    assert playbooks.LAST_RUN_VARIABLE not in playbooks.prepare("deploy", extra, Path("/clone"), {}).environment


@pytest.mark.parametrize(
    "extra",
    [
        ["-e", "samstudio_bundle=./x.tar"],
        ["-esamstudio_bundle=./x.tar"],
        ["--extra-vars=a=b samstudio_bundle='./x.tar'"],
        ["-e", '{"samstudio_bundle": "./x.tar"}', "-e", "a=b"],
    ],
)
def test_a_bundle_named_from_the_callers_folder_is_there(
    extra: list[str], clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    task = {"name": "Say it", "ansible.builtin.debug": {"msg": "bundle {{ samstudio_bundle }}."}}
    play = [{"name": "x", "hosts": "all", "gather_facts": False, "tasks": [task]}]
    (clone / "site.yml").write_text(json.dumps(play))
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert CliRunner().invoke(app, ["deploy", *extra]).exit_code == 0
    assert f"bundle {folder}/x.tar." in capfd.readouterr().out
    assert (
        playbooks.prepare("deploy", ["-e", "samstudio_bundle=/x.tar"], clone, {}).argv[-1] == "samstudio_bundle=/x.tar"
    )


def test_an_inventory_and_settings_named_from_the_callers_folder_are_taken(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    local = (clone / "inventory" / "local").read_text()
    (folder / "mylab").write_text(local.replace("localhost", "mine"))
    (folder / "settings.json").write_text('{"extra": "from a file"}')
    monkeypatch.chdir(folder)
    assert CliRunner().invoke(app, ["deploy", "-i", "./mylab", "-e", "@settings.json"]).exit_code == 0
    assert "this is site.yml from a file" in capfd.readouterr().out
    with pytest.raises(SamstudioError) as raised:
        playbooks.check_readable("deploy", ["-i", "./nolab"], clone)
    assert raised.value.found == f"no {folder}/nolab"


def test_reconsider_is_an_extra_variable(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = "{{ samstudio_reconsider | default(false) | ternary('chosen anew', 'kept') }}"
    task = {"name": "Say it", "ansible.builtin.debug": {"msg": said}}
    (clone / "site.yml").write_text(json.dumps([{"name": "x", "hosts": "all", "gather_facts": False, "tasks": [task]}]))
    assert CliRunner().invoke(app, ["deploy"]).exit_code == 0
    assert "kept" in capfd.readouterr().out
    assert CliRunner().invoke(app, ["deploy", "--reconsider"]).exit_code == 0
    assert "chosen anew" in capfd.readouterr().out


@pytest.fixture
def somebody(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tests' user, seen as an ordinary one whose sudo wants a password; sudo itself is a stand-in."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    for name in playbooks.PASSWORD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    sudo = clone / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\n[ "$*" = "-n -k true" ] && exit 1\nexit 2\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    return clone


def test_sudos_password_is_asked_for_where_it_is_needed(somebody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asks(*extra: str, **environment: str) -> bool:
        return playbooks.asks_for_password(extra, somebody, environment, terminal=True)

    assert asks()
    assert asks("-i", str(somebody / "inventory" / "local"), "--tags", "x")
    assert not asks("-i", "lab")
    assert not asks("-K")
    assert not asks("--become-password-file", "f")
    assert not asks(ANSIBLE_BECOME_PASSWORD_FILE="f")
    assert not asks("--list-tasks")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert not asks()


def test_without_a_terminal_it_says_how_to_give_the_password(somebody: Path) -> None:
    result = CliRunner().invoke(app, ["deploy"])
    assert result.exit_code == 1
    with pytest.raises(SamstudioError, match="sudo wants a password") as raised:
        playbooks.asks_for_password([], somebody, {}, terminal=False)
    assert "--become-password-file" in raised.value.command


@pytest.mark.parametrize("missing", ["site.yml", "inventory/local"])
def test_what_is_missing_is_named_before_anything_starts(clone: Path, missing: str) -> None:
    playbooks.check_readable("deploy", [], clone)
    (clone / missing).unlink()
    with pytest.raises(SamstudioError) as raised:
        playbooks.check_readable("deploy", [], clone)
    assert missing in raised.value.found


def test_elsewhere_than_in_the_clone_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SamstudioError, match="not the samstudio repository"):
        playbooks.home({playbooks.HOME_VARIABLE: str(tmp_path)})


@pytest.mark.parametrize("verb", [verb for verb in playbooks.PLAYBOOKS if verb not in ("bundle", "destroy")])
def test_a_verb_runs_its_playbook(clone: Path, verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(app, [verb, "-e", "extra=passed"])
    printed = capfd.readouterr().out
    assert result.exit_code == 0, printed
    assert f"this is {playbooks.PLAYBOOKS[verb]} passed" in printed


def test_the_display_shows_changes_messages_failures_and_the_recap(clone: Path) -> None:
    tasks = [
        {"name": "Quiet", "ansible.builtin.command": "true", "changed_when": False},
        {"name": "Loud", "ansible.builtin.command": "true"},
        {"name": "Table", "ansible.builtin.debug": {"msg": ["one line", "another"]}},
        {"name": "Hidden", "ansible.builtin.command": "echo hunter2", "no_log": True},
        {"name": "Wrong", "ansible.builtin.command": "false"},
    ]
    (clone / "site.yml").write_text(
        json.dumps([{"name": "A play", "hosts": "all", "gather_facts": False, "tasks": tasks}])
    )
    run = playbooks.prepare("deploy", [], clone, {})
    ran = subprocess.run(run.argv, env={**os.environ, **run.environment}, capture_output=True, text=True, check=False)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 2
    assert "A play" in lines
    assert any(line.startswith("  changed Loud  [localhost]") for line in lines)
    assert not any("changed Quiet" in line for line in lines)
    assert lines.index("another") == lines.index("one line") + 1
    assert any("TASK [Wrong]" in line for line in lines)
    assert any("changed=2" in line and "failed=1" in line for line in lines)
    assert "hunter2" not in ran.stdout + ran.stderr
    assert "\x1b" not in ran.stdout
    assert "WARNING" not in ran.stderr + ran.stdout


def test_a_bundle_holds_what_the_playbook_describes(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    work, file = clone / ".cache" / "bundle", tmp_path / "out" / "bundle.tar"
    images = work / "images-1.tar"
    description = {
        "os": {"id": "debian", "version": "12", "name": "Debian 12"},
        "arch": "x86_64",
        "images": {},
        "choices": {"model": "demo", "device": "cpu", "asked": "{{ asked }}"},
        "packages": ["tool"],
        "files": {"images.tar": str(images)},
    }
    copies = [
        {"name": str(path), "ansible.builtin.copy": {"content": content, "dest": str(path), "mode": "0644"}}
        for path, content in [(images, "layers"), (work / "description.json", json.dumps(description))]
    ]
    (clone / "playbooks" / "bundle.yml").write_text(
        json.dumps([{"name": "x", "hosts": "all", "gather_facts": False, "tasks": copies}])
    )
    monkeypatch.setattr(collect, "packages", lambda names, work: [])
    monkeypatch.setattr(collect, "wheels", lambda locks, work: [])
    file.parent.mkdir()
    monkeypatch.chdir(file.parent)
    words = ["bundle", "create", "-e", "asked=for", "bundle.tar", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output + capfd.readouterr().out
    told = json.loads(result.stdout)
    documented.check(words, told)
    manifest = check.verify(file)
    assert (told["file"], told["members"]) == (str(file), len(manifest["members"]))
    assert told["bytes"] == file.stat().st_size
    assert manifest["choices"]["asked"] == "for"
    assert {"images.tar", "debs/Packages", "samstudio/site.yml"} < set(manifest["members"])
    assert not images.exists()
