"""`samstudio bundle …` as it is typed: what cannot succeed is refused before anything is built."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tools.tests import documented
from tools.tests.commands import Ran, typed


@pytest.fixture
def built(clone: Path) -> Path:
    """What the clone's playbook builds."""
    file = clone / "built"
    task = {"name": "Build it", "ansible.builtin.copy": {"content": "x", "dest": str(file), "mode": "0644"}}
    play = [{"name": "A play", "hosts": "all", "gather_facts": False, "tasks": [task]}]
    (clone / "playbooks" / "bundle.yml").write_text(json.dumps(play))
    return file


def create(clone: Path, *words: str) -> Ran:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return typed("bundle", "create", *words, "--json", SAMSTUDIO_HOME=str(clone), PATH=path)


def refused(ran: Ran, code: int) -> dict[str, str]:
    """The error, told as JSON and as sentences."""
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    told = json.loads(ran.stdout)
    documented.check(["bundle", "create"], told)
    assert told["changed"] is False
    error: dict[str, str] = told["error"]
    assert error["message"] in ran.stderr
    assert error["found"]
    assert error["command"]
    return error


def test_the_playbook_of_these_tests_builds(clone: Path, built: Path) -> None:
    """Else the tests below, which want nothing built, could not fail."""
    create(clone, str(clone / "bundle.tar"))
    assert built.exists()


@pytest.mark.parametrize(
    ("file", "says"),
    [
        pytest.param("stick/bundle.tar", "No such file or directory", id="a disk that is not mounted"),
        pytest.param("inventory/local/bundle.tar", "Not a directory", id="a file in the folder's place"),
        pytest.param("playbooks", "is a folder", id="a folder in the file's place"),
        pytest.param("/proc/bundle.tar", "cannot be written", id="a file system that takes no files"),
    ],
)
def test_a_bundle_that_cannot_be_written_is_refused_before_anything_is_built(
    file: str, says: str, clone: Path, built: Path
) -> None:
    error = refused(create(clone, str(clone / file)), 1)
    assert says in error["found"] + error["message"]
    assert str((clone / file).parent) in error["found"]
    assert not built.exists()
    assert not (clone / ".cache").exists()


def test_a_folder_on_a_disk_that_is_not_mounted_is_not_taken_for_a_file(clone: Path, built: Path) -> None:
    error = refused(create(clone, f"{clone}/stick/"), 2)
    assert error["found"] == f"{clone}/stick/"
    assert not built.exists()


@pytest.mark.parametrize("option", ["--check", "-vC", "--list-tasks"])
def test_a_bundle_cannot_be_rehearsed(option: str, clone: Path, built: Path) -> None:
    error = refused(create(clone, str(clone / "bundle.tar"), option), 2)
    assert "rehearse" in error["message"]
    assert not built.exists()
    assert not (clone / "bundle.tar").exists()


def test_what_an_earlier_run_described_is_not_packed(clone: Path, built: Path) -> None:
    """A run that chose its tasks may leave out the one that describes."""
    work = clone / ".cache" / "bundle"
    work.mkdir(parents=True)
    described = {"os": {"id": "x", "version": "1", "name": "X"}, "arch": "x", "choices": {"model": "demo"}}
    (work / "description.json").write_text(json.dumps({**described, "files": {}, "packages": []}))
    ran = create(clone, str(clone / "bundle.tar"))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    error = json.loads(ran.stdout)["error"]
    assert "described" in error["message"]
    assert error["command"]
    assert "Traceback" not in ran.stderr
    assert not (clone / "bundle.tar").exists()


@pytest.mark.parametrize("verb", ["check", "inspect"])
def test_a_bundle_that_was_never_made_is_no_traceback(verb: str, tmp_path: Path) -> None:
    missing = typed("bundle", verb, str(tmp_path / "samstudio.tar"))
    assert missing.returncode == 1, missing.stderr
    assert "There is no such bundle." in missing.stderr
    folder = typed("bundle", verb, str(tmp_path))
    assert folder.returncode == 1, folder.stderr
    assert "The bundle cannot be read." in folder.stderr
    unnamed = typed("bundle", verb)
    assert unnamed.returncode == 2, unnamed.stderr
    assert "FILE" in unnamed.stderr
    for ran in (missing, folder, unnamed):
        assert "Traceback" not in ran.stderr
        assert ran.stdout == ""
