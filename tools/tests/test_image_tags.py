"""An image is rebuilt when what it is made of changes, and at no other time."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TAGS = {
    "PostgreSQL": "__database_wanted_tag",
    "HAProxy": "__backend_balancer_wanted_tag",
    "Caddy": "__tls_proxy_wanted_tag",
    "Label Studio": "__label_studio_wanted_tag",
    "SAM2 backend": "__sam2_backend_wanted_tag",
}
EVERY = set(TAGS)
WORLD: dict[str, Any] = {
    "preflight_found": {
        "pip": {
            "index_url": "https://lab:one@index.example.com/simple",
            "extra_index_url": [],
            "local_index_url": [],
            "find_links": [],
            "wheel_folders": [{"path": "/opt/wheels", "digest": "0123456789ab"}],
            "trusted_host": [],
            "no_index": False,
        },
        "unreachable": {"registry": "timed out"},
        "proxies": {},
    },
    "preflight_plan": {
        "choices": {
            "base_image": "mirror",
            "base_mirror": "http://mirror.example.com/debian",
            "base_security_mirror": "",
            "torch_index_url": "",
            "torch_version": "2.13.0",
        }
    },
    "__build_context_certificates": {"results": [{"stat": {"checksum": "aaaa"}}]},
    "build_context_registry_image": "docker.io/library/debian:bookworm",
}
MIRROR = ("preflight_plan", "choices", "base_mirror")
PIP = ("preflight_found", "pip")
#: what changes in the world, to what, and the images that are made of it
CHANGES: dict[str, tuple[tuple[str, ...], Any, set[str]]] = {
    "a CA is added": (
        ("__build_context_certificates", "results"),
        [{"stat": {"checksum": "aaaa"}}, {"stat": {"checksum": "bbbb"}}],
        {"Label Studio", "SAM2 backend"},
    ),
    "pip takes from another index": ((*PIP, "index_url"), "https://new.example.com/simple", {"SAM2 backend"}),
    "pip's password is another": ((*PIP, "index_url"), "https://lab:two@index.example.com/simple", set()),
    "wheels are added": ((*PIP, "wheel_folders"), [{"path": "/wheels", "digest": "ba9876543210"}], {"SAM2 backend"}),
    "the Debian mirror moves": (MIRROR, "http://new.example.com/debian", EVERY),
    "PyTorch comes from elsewhere": (
        ("preflight_plan", "choices", "torch_index_url"),
        "https://torch.example.com/cpu",
        {"SAM2 backend"},
    ),
    "a source is down": (("preflight_found", "unreachable"), {"registry": "", "checkpoint": "timed out"}, set()),
    "a proxy is named": (("preflight_found", "proxies"), {"http_proxy": "http://proxy.example.com:3128"}, set()),
    "the archives of today are asked for": (("build_context_archives",), "20261128T180000Z", EVERY),
    "the registry's image, which is not used, is another": (("build_context_registry_image",), "x/debian:13", set()),
}


def roles_variables() -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for role in ("database", "backend_balancer", "tls_proxy", "label_studio", "sam2_backend", "build_context"):
        folder = ROOT / "roles" / role
        for path in (folder / "defaults" / "main.yml", folder / "vars" / "main.yml"):
            variables |= yaml.safe_load(path.read_text().replace("role_path", f"'{folder}'"))
    return variables


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    world = copy.deepcopy(WORLD)
    *folders, name = path
    inside = world
    for folder in folders:
        inside = inside[folder]
    inside[name] = value
    return world


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The tags that the roles' own variables give to the images, in each world."""
    folder = tmp_path_factory.mktemp("tags")
    https = changed(MIRROR, "https://mirror.example.com/debian")
    worlds = {"unchanged": WORLD, "https": https, "https, a CA is added": {**https, **_with_ca()}}
    worlds |= {name: changed(path, value) for name, (path, value, _) in CHANGES.items()}
    shown = "{{ {" + ", ".join(f"'{name}': {variable}" for name, variable in TAGS.items()) + "} | to_json }}"
    tasks = [
        {
            "name": name,
            "ansible.builtin.copy": {"content": shown, "dest": str(folder / f"{name}.json"), "mode": "0644"},
            "vars": {
                **roles_variables(),
                **world,
                "samstudio_data_dir": "/data",
                "samstudio_registry": "docker.io",
                "build_context_inputs": "{{ __build_context_inputs }}",
            },
        }
        for name, world in worlds.items()
    ]
    play = [{"name": "x", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(json.dumps(play))
    argv = ["ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
    ran = subprocess.run(
        [*argv, str(folder / "play.yml")], capture_output=True, text=True, check=False, timeout=240, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in worlds}


def _with_ca() -> dict[str, Any]:
    path, value, _ = CHANGES["a CA is added"]
    return {path[0]: changed(path, value)[path[0]]}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_renames_what_depends_on_it_and_nothing_else(tags: dict[str, dict[str, str]], name: str) -> None:
    before, after = tags["unchanged"], tags[name]
    assert {image for image in TAGS if before[image] != after[image]} == CHANGES[name][2]


def test_where_mirrors_speak_tls_the_base_image_holds_the_cas(tags: dict[str, dict[str, str]]) -> None:
    before, after = tags["https"], tags["https, a CA is added"]
    assert {image for image in TAGS if before[image] != after[image]} == EVERY


def test_no_dockerfile_declares_proxies() -> None:
    """They are predefined arguments; declared ones put their values, passwords too, into an image's history."""
    files = [
        *ROOT.glob("roles/*/files/*/Dockerfile"),
        *ROOT.glob("roles/*/templates/*Dockerfile*"),
        ROOT / "backend/Dockerfile",
    ]
    assert len(files) >= 6
    assert [str(path) for path in files if "http_proxy" in path.read_text().lower()] == []
