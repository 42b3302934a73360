"""The entry script with a lock that names nothing and a command that says which Python runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


#: Ubuntu 22.04's: its own Python is too old for Ansible, and it offers another one. Only what is asked of it is there.
UBUNTU = {
    "python3": 'test -z "$1" || exit 1',
    "sudo": 'shift; exec "$@"',
    "apt-cache": '[ "$*" = "show python3.11-venv" ]',
    "apt-get": 'echo "$*" >> {bin}/asked; case "$*" in *" python3.11 "*) ln -s {python} {bin}/python3.11 ;; esac',
}


def test_where_python_is_too_old_the_one_beside_it_is_installed(clone: Path) -> None:
    folder = clone / "bin"
    folder.mkdir()
    for name in (
        "bash",
        "cat",
        "cut",
        "dirname",
        "env",
        "flock",
        "id",
        "mkdir",
        "readlink",
        "rm",
        "sha256sum",
        "touch",
    ):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, script in UBUNTU.items():
        script = script.format(bin=folder, python=sys.executable) if "{" in script else script
        (folder / name).write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}\n{script}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [clone / "samstudio", "deploy"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    asked = (folder / "asked").read_text()
    assert "install --yes --quiet=2 --no-install-recommends python3.11 python3.11-venv" in asked
    assert done.stdout == f"{clone / '.venv'} deploy\n"


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
