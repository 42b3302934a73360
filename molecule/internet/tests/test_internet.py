"""Which road each source took, and what it is like for a person whose sudo wants a password."""

from __future__ import annotations

import json
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]

BY_PERSON, OVER_SSH, BY_ROOT = "internet-debian12", "internet-debian13", "internet-testing"
PROXY = "10.78.10.2"
PREFLIGHT = "cd /srv/samstudio && ./samstudio preflight"
PASSWORD = "a password for sudo"
REACH = "import socket; socket.create_connection(('{}', {}), 5)"
LAB_REGISTRY = "registry.lab.example.com"


def on(name: str) -> Any:
    return testinfra.get_host(f"docker://{name}")


def choices(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(on(name).check_output("cat /etc/samstudio/choices.json"))["choices"]
    return found


@pytest.mark.parametrize("name", [BY_PERSON, OVER_SSH, BY_ROOT])
def test_images_and_torch_came_from_where_most_hosts_take_them(name: str) -> None:
    taken = choices(name)
    assert taken["base_image"] == "registry"
    assert taken["torch_index_url"] == "https://download.pytorch.org/whl/cpu"
    torch = "docker exec sam2-backend /opt/venv/bin/python -c 'import torch; print(torch.__version__)'"
    assert on(name).check_output(torch).endswith("+cpu")


@pytest.mark.parametrize("name", [BY_PERSON, OVER_SSH])
def test_the_engine_came_from_dockers_repository(name: str) -> None:
    assert choices(name)["docker_engine_source"] == "docker_repository"
    assert "stand-in" in on(name).package("docker-ce").version
    assert not on(name).package("docker.io").is_installed


def test_an_engine_that_stood_still_was_started_and_not_exchanged() -> None:
    assert "docker_engine_source" not in choices(BY_ROOT)
    assert on(BY_ROOT).package("docker.io").is_installed
    assert "API listen on /var/run/docker.sock" in on(BY_ROOT).file("/var/log/dockerd.log").content_string


@pytest.mark.parametrize(("name", "python", "core"), [(BY_PERSON, "3.11", "2.19"), (BY_ROOT, "3.14", "2.21")])
def test_each_python_has_the_ansible_that_knows_it(name: str, python: str, core: str) -> None:
    said = on(name).check_output("/srv/samstudio/.venv/bin/ansible --version")
    assert f"python version = {python}." in said
    assert f"[core {core}." in said


def test_the_proxy_of_a_persons_shell_is_the_only_way_out_and_no_image_knows_it() -> None:
    host = on(BY_PERSON)
    assert host.run(f'python3 -c "{REACH.format("10.78.9.2", 443)}"').rc != 0
    assert host.run(f'python3 -c "{REACH.format(PROXY, 8888)}"').rc == 0
    assert host.run(f"grep --recursive {PROXY} /etc/environment /etc/apt /etc/pip.conf").rc == 1
    images = host.check_output("docker image ls --quiet --filter reference=samstudio/*").split()
    assert len(images) >= 3
    for image in images:
        assert PROXY not in host.check_output(f"docker history --no-trunc {image}")
        assert PROXY not in host.check_output(f"docker image inspect {image}")


def test_the_new_engine_knows_the_proxy_and_its_password_would_be_roots_alone() -> None:
    host = on(BY_PERSON)
    assert f"https_proxy=http://{PROXY}:8888" in host.check_output("tr '\\0' '\\n' < /proc/$(pidof dockerd)/environ")
    assert host.file("/etc/docker/proxy.env").mode == 0o600
    assert PROXY not in host.check_output("systemctl show docker")


def test_the_base_image_came_from_the_labs_registry_and_the_login_is_forgotten() -> None:
    host = on(OVER_SSH)
    assert f"{LAB_REGISTRY}/library/debian" in host.check_output("docker image ls --format '{{.Repository}}'").split()
    served = on("internet-stand-in").check_output("cat /var/log/nginx/by-name.log")
    assert f"{LAB_REGISTRY} GET /v2/ 401" in served  # it does want a login
    login = host.file("/root/.docker/config.json")
    assert not login.exists or not json.loads(login.content_string).get("auths")


def test_what_the_lab_set_for_label_studio_reached_its_container() -> None:
    found = json.loads(on(OVER_SSH).check_output("docker inspect label-studio"))[0]
    assert found["HostConfig"]["Memory"] == 3 * 2**30
    assert found["HostConfig"]["Tmpfs"]["/tmp"].endswith("size=768m")
    environment = dict(variable.split("=", 1) for variable in found["Config"]["Env"])
    assert environment["AWS_DEFAULT_REGION"] == "eu-north-1"


def test_sudos_password_is_asked_for_once_on_a_terminal() -> None:
    ran = on(BY_PERSON).run(f"python3 /opt/on_terminal.py somebody '{PASSWORD}' '{PREFLIGHT}'")
    assert ran.rc == 0, ran.stdout
    assert ran.stdout.count("BECOME password:") == 1
    assert PASSWORD not in ran.stdout
    assert "Docker engine" in ran.stdout


def test_without_a_terminal_the_way_out_is_named() -> None:
    ran = on(BY_PERSON).run(f"setsid su somebody --command '{PREFLIGHT}' < /dev/null")
    assert ran.rc == 1
    assert "--become-password-file" in ran.stdout + ran.stderr
