"""Which road each source took, and what it is like for a user whose sudo wants a password."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]

FROM_ITS_ROOT, OVER_SSH, BEHIND_PROXY = "internet-debian12", "internet-debian13", "internet-testing"
PREFLIGHT = "cd /srv/samstudio && ./samstudio preflight"
PASSWORD = "a password for sudo"
REACH = "import socket; socket.create_connection(('{}', {}), 5)"


def on(name: str) -> Any:
    return testinfra.get_host(f"docker://{name}")


def choices(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(on(name).check_output("cat /etc/samstudio/choices.json"))["choices"]
    return found


@pytest.mark.parametrize("name", [FROM_ITS_ROOT, OVER_SSH, BEHIND_PROXY])
def test_images_and_torch_came_from_where_most_hosts_take_them(name: str) -> None:
    taken = choices(name)
    assert taken["base_image"] == "registry"
    assert taken["torch_index_url"] == "https://download.pytorch.org/whl/cpu"
    torch = "docker exec sam2-backend /opt/venv/bin/python -c 'import torch; print(torch.__version__)'"
    assert on(name).check_output(torch).endswith("+cpu")


@pytest.mark.parametrize("name", [FROM_ITS_ROOT, OVER_SSH])
def test_the_engine_came_from_dockers_repository(name: str) -> None:
    assert choices(name)["docker_engine_source"] == "docker_repository"
    assert "stand-in" in on(name).package("docker-ce").version
    assert not on(name).package("docker.io").is_installed


def test_an_engine_that_was_there_stayed() -> None:
    assert "docker_engine_source" not in choices(BEHIND_PROXY)
    assert on(BEHIND_PROXY).package("docker.io").is_installed


@pytest.mark.parametrize(("name", "python", "core"), [(FROM_ITS_ROOT, "3.11", "2.19"), (BEHIND_PROXY, "3.14", "2.21")])
def test_each_python_has_the_ansible_that_knows_it(name: str, python: str, core: str) -> None:
    said = on(name).check_output("/srv/samstudio/.venv/bin/ansible --version")
    assert f"python version = {python}." in said
    assert f"[core {core}." in said


def test_the_proxy_is_the_only_way_out_and_no_image_knows_it() -> None:
    host = on(BEHIND_PROXY)
    assert host.run(f'python3 -c "{REACH.format("10.78.9.2", 443)}"').rc != 0
    assert host.run(f'python3 -c "{REACH.format("10.78.10.2", 8888)}"').rc == 0
    images = host.check_output("docker image ls --quiet --filter reference=samstudio/*").split()
    assert images
    assert "10.78.10.2" not in host.check_output(f"docker history --no-trunc {' '.join(images[:1])}")
    assert "10.78.10.2" not in host.check_output(f"docker image inspect {' '.join(images)}")


def test_sudos_password_is_asked_for_once_on_a_terminal() -> None:
    script = Path(__file__).parent / "on_terminal.py"
    subprocess.run(["docker", "cp", script, f"{BEHIND_PROXY}:/tmp/on_terminal.py"], check=True)
    ran = on(BEHIND_PROXY).run(f"python3 /tmp/on_terminal.py somebody '{PASSWORD}' '{PREFLIGHT}'")
    assert ran.rc == 0, ran.stdout
    assert ran.stdout.count("BECOME password:") == 1
    assert PASSWORD not in ran.stdout
    assert "Docker engine" in ran.stdout


def test_without_a_terminal_the_way_out_is_named() -> None:
    ran = on(BEHIND_PROXY).run(f"setsid su somebody --command '{PREFLIGHT}' < /dev/null")
    assert ran.rc == 1
    assert "--become-password-file" in ran.stdout + ran.stderr
