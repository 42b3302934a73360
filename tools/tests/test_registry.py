"""Where a host's base image is looked for and pulled from, as the inventory names the registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[2] / "roles"
NAMES = ("preflight_registry_url", "build_context_registry_image", "__build_context_registry")


@pytest.mark.parametrize(
    ("registry", "asked", "image", "login"),
    [
        (
            "docker.io",
            "https://registry-1.docker.io/v2/",
            "docker.io/library/debian:bookworm-",
            "https://index.docker.io/v1/",
        ),
        (
            "harbor.example.com/hub",
            "https://harbor.example.com/v2/",
            "harbor.example.com/hub/library/debian:bookworm-",
            "harbor.example.com",
        ),
    ],
)
def test_the_registry_that_is_named_is_the_one_that_is_asked(
    tmp_path: Path, registry: str, asked: str, image: str, login: str
) -> None:
    files = [ROLES / "preflight/defaults/main.yml", *(ROLES / "build_context").glob("*s/main.yml")]
    shown = "{{ [" + ", ".join(NAMES) + "] | to_json }}"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(file) for file in files if file.parent.name in ("defaults", "vars")],
        "vars": {"samstudio_registry": registry, "samstudio_data_dir": "/data"},
        "tasks": [{"ansible.builtin.copy": {"content": shown, "dest": str(tmp_path / "said"), "mode": "0600"}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    argv = ["ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", "play.yml"]
    subprocess.run(argv, check=True, timeout=120, cwd=tmp_path)
    address, name, place = json.loads((tmp_path / "said").read_text())
    assert (address, place) == (asked, login)
    assert name.startswith(image)
