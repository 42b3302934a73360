"""How Docker's repository gets onto a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[2] / "roles"
ROLE = ROLES / "docker_engine"


@pytest.mark.parametrize("role", ["docker_engine", "nvidia_driver", "nvidia_container_toolkit"])
def test_nothing_needs_a_python_module_that_a_bare_host_lacks(role: str) -> None:
    tasks = "".join(path.read_text() for path in (ROLES / role / "tasks").glob("*.yml"))
    assert ".sources" in tasks
    assert "deb822_repository" not in tasks
    assert "python3-debian" not in tasks


@pytest.mark.parametrize(("system", "release"), [("debian", "trixie"), ("ubuntu", "noble")])
def test_apt_reads_the_entry_of_dockers_repository(tmp_path: Path, system: str, release: str) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    address = f"https://docker.example.com/linux/{system}"
    variables = {
        "__docker_engine_suite": release,
        "docker_engine_repository_url": address,
        "__docker_engine_key": "/etc/apt/keyrings/docker.asc",
    }
    task = {
        "name": "Write it",
        "ansible.builtin.template": {
            "src": str(ROLE / "templates" / "docker.sources.j2"),
            "dest": str(parts / "docker.sources"),
            "mode": "0644",
        },
        "vars": variables,
    }
    play = [{"name": "x", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "localhost,",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            str(tmp_path / "play.yml"),
        ],
        check=True,
        timeout=300,
        cwd=tmp_path,
    )
    configuration = tmp_path / "apt.conf"
    configuration.write_text(f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{parts}";\n')
    listed = subprocess.run(
        ["apt-get", "update", "--print-uris"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "APT_CONFIG": str(configuration)},
    )
    assert f"'{address}/dists/{release}/stable/binary-" in listed.stdout
    assert listed.stderr == ""
