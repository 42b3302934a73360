"""The entry script with a lock that names nothing and a command that says which Python runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copy(PROJECT / "samstudio", tmp_path)
    command = tmp_path / "tools" / "samstudio" / "__main__.py"
    command.parent.mkdir(parents=True)
    command.write_text("import sys\nprint(sys.prefix, *sys.argv[1:])\n")
    (tmp_path / "tools" / "requirements").mkdir()
    (tmp_path / "tools" / "requirements" / "control.lock").write_text("# nothing\n")
    return tmp_path


def start(clone: Path) -> subprocess.Popen[str]:
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    return subprocess.Popen(
        [clone / "samstudio", "deploy"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_two_that_start_at_once_share_one_environment(clone: Path) -> None:
    started = [start(clone) for _ in range(2)]
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    assert {printed for printed, _ in ended} == {f"{clone / '.venv'} deploy\n"}
    assert sum("Preparing" in said for _, said in ended) == 1


def run(clone: Path) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [clone / "samstudio", "deploy", "-v"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
        env={name: os.environ[name] for name in os.environ if name != "PYTHONPATH"},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{clone / '.venv'} deploy -v\n"
    return ran


def test_the_environment_is_made_once_and_again_for_another_python(clone: Path) -> None:
    assert "Preparing" in run(clone).stderr
    assert run(clone).stderr == ""

    # The system was upgraded: the Python that made the environment is gone, or is another one under the same name.
    python = clone / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.0")
    assert "Preparing" in run(clone).stderr
    python.unlink()
    python.write_text("#!/bin/sh\necho Python 3.0.1\n")
    python.chmod(0o755)
    assert "Preparing" in run(clone).stderr
    assert run(clone).stderr == ""
