"""Who goes through a host's proxy, and who past it: image builds and a new engine, and requests to its own services."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "roles"


def tasks_with(module: str, node: Any) -> list[dict[str, Any]]:
    """Every task of a module, at whatever depth of blocks."""
    if isinstance(node, list):
        return [found for item in node for found in tasks_with(module, item)]
    if not isinstance(node, dict):
        return []
    inside = [found for key in ("block", "rescue", "always") for found in tasks_with(module, node.get(key))]
    return ([node] if module in node else []) + inside


REQUESTS = [
    pytest.param(task["ansible.builtin.uri"], id=f"{path.parts[-3]}: {task['name']}")
    for path in sorted(ROLES.glob("*/tasks/*.yml"))
    for task in tasks_with("ansible.builtin.uri", yaml.safe_load(path.read_text()))
]


def test_there_are_such_requests() -> None:
    assert len(REQUESTS) >= 2


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_to_a_service_of_the_host_goes_past_its_proxy(request_: dict[str, Any]) -> None:
    assert request_.get("use_proxy") is False


BUILDS = [
    pytest.param(task, id=f"{path.parts[-3]}: {task['name']}")
    for path in sorted(ROLES.glob("*/tasks/*.yml"))
    for task in tasks_with("ansible.builtin.command", yaml.safe_load(path.read_text()))
    if "'docker', 'build'" in str(task["ansible.builtin.command"])
]


def test_there_are_such_builds() -> None:
    assert len(BUILDS) >= 2


@pytest.mark.parametrize("task", BUILDS)
def test_an_image_is_built_through_the_hosts_proxies_and_no_command_line_shows_them(task: dict[str, Any]) -> None:
    """--build-arg=http_proxy alone takes the value, which may hold a password, from the environment."""
    assert "(preflight_found.proxies | map('regex_replace', '^', '--build-arg=') | list)" in str(task)
    assert task["environment"] == "{{ preflight_found.proxies }}"


#: In a mount namespace whose /etc is a copy, in the folder named first.
WITH_A_COPY_OF_ETC = 'cp --archive /etc "$0" && mount --bind "$0/etc" /etc && exec "$@"'


def test_a_new_engine_is_given_the_proxies_and_others_cannot_read_them(tmp_path: Path) -> None:
    proxies = {"https_proxy": "http://me:s3cret@proxy.example.com:3128", "no_proxy": "10.0.0.0/8,.example.com"}
    role = ROLES / "docker_engine"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(role / "vars" / "main.yml")],
        "vars": {"preflight_found": {"proxies": proxies}, "samstudio_no_log": True},
        "tasks": [{"ansible.builtin.include_role": {"name": str(role), "tasks_from": "proxies"}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    argv = ["ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", "play.yml"]
    ran = subprocess.run(
        ["unshare", "--mount", "--", "sh", "-c", WITH_A_COPY_OF_ETC, tmp_path, *argv],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    settings = tmp_path / "etc" / "docker" / "proxy.env"
    assert [f'{name}="{value}"' for name, value in proxies.items()] == settings.read_text().splitlines()[-2:]
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    service = tmp_path / "etc" / "systemd" / "system" / "docker.service.d" / "http-proxy.conf"
    assert service.read_text() == "[Service]\nEnvironmentFile=/etc/docker/proxy.env\n"
    assert "s3cret" not in ran.stdout + ran.stderr
