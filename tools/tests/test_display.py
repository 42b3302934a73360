"""How far a run is, and how long it will go on, by what the last one took."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from samstudio import playbooks

PLUGIN = Path(__file__).parents[1] / "ansible" / "callback" / "samstudio.py"


@pytest.fixture(scope="module")
def plugin() -> Any:
    spec = importlib.util.spec_from_file_location("samstudio_display", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_share_and_the_time_left_follow_the_last_run(plugin: Any, tmp_path: Path) -> None:
    file = tmp_path / "cache" / "deploy.json"
    first = plugin.LastRun(str(file))
    for place, seconds in (("a:1", 10), ("b:1", 60), ("a:1", 20), ("c:1", 10)):
        first.begin(place)
        assert first.told() == "", "nothing was learned yet"
        first.took(seconds)
    first.keep()
    assert json.loads(file.read_text()) == {"a:1": 30, "b:1": 60, "c:1": 10}

    again = plugin.LastRun(str(file))
    again.begin("a:1")
    assert again.told() == "0%, 1:40 left  "
    again.took(15)
    assert again.told() == "15%, 1:25 left  "
    again.took(45)
    assert again.told() == "30%, 1:10 left  ", "longer than the last time"
    again.begin("b:1")
    again.took(30)
    assert again.told() == "60%, 0:40 left  "
    again.begin("new:1")
    assert again.told() == "90%, 0:10 left  ", "a task that was not there the last time"


@pytest.mark.parametrize("text", ["", "half", "[1]"])
def test_a_file_that_cannot_be_read_teaches_nothing(plugin: Any, tmp_path: Path, text: str) -> None:
    file = tmp_path / "deploy.json"
    file.write_text(text)
    assert plugin.LastRun(str(file)).told() == ""
    assert plugin.LastRun("").told() == ""


def on_a_terminal(clone: Path) -> str:
    run = playbooks.prepare("deploy", [], clone, os.environ)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    with subprocess.Popen(run.argv, env={**os.environ, **run.environment}, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(master)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_the_second_run_says_how_far_it_is(clone: Path) -> None:
    tasks = [{"name": f"Step {n}", "ansible.builtin.command": "sleep 0.3", "changed_when": False} for n in (1, 2)]
    play = [{"name": "A play", "hosts": "all", "gather_facts": False, "tasks": tasks}]
    (clone / "site.yml").write_text(json.dumps(play, indent=1))
    first = on_a_terminal(clone)
    assert "Step 2" in first
    assert "left" not in first
    second = on_a_terminal(clone)
    assert "0%, 0:0" in second
    assert "left  Step 2" in second
