"""A backend is deployed by its tag alone on a GPU host: it asks by itself how a container gets the GPU there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from .hosts import Host

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "sam2_backend"
LEARN = yaml.safe_load((ROLE / "tasks" / "serve.yml").read_text())[0]
PLAY: list[dict[str, Any]] = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars": {
            "ansible_facts": {"python": {"executable": sys.executable}},
            "preflight_plan": {"choices": {"device": "{{ device }}"}},
            "__sam2_backend_this": {"device": "GPU-0"},
        },
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "roles": [{"role": "nvidia_container_toolkit", "tags": ["nvidia_container_toolkit"]}],
        "tasks": [
            {"block": [LEARN], "tags": ["sam2_backend"]},
            {
                "ansible.builtin.copy": {"content": "{{ __sam2_backend_gpu | to_json }}", "dest": "{{ answer }}"},
                "tags": ["sam2_backend"],
            },
        ],
    }
]
RUNTIME = {
    "runtime": "nvidia",
    "env": {"NVIDIA_VISIBLE_DEVICES": "GPU-0", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
}
#: by name: the engine's version, the device that preflight chose, and what the container is given
HOSTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "cdi": ("29.1.3", "cuda", {"device_requests": [{"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-0"]}]}),
    "runtime": ("20.10.24", "cuda", RUNTIME),
    "cpu": ("29.1.3", "cpu", {}),
}


def test_by_its_tag_alone(tmp_path: Path) -> None:
    inventory: dict[str, dict[str, str]] = {}
    for name, (engine, device, _) in HOSTS.items():
        outputs = Host("debian12", ("RTX 3090",), "580.95.05", engine=engine).outputs()
        probes = tmp_path / f"{name}.py"
        probes.write_text(f"print({json.dumps({probe: asdict(output) for probe, output in outputs.items()})!r})")
        inventory[name] = {"device": device, "probes": str(probes), "answer": str(tmp_path / f"{name}.json")}
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": inventory, "vars": variables}}))
    (tmp_path / "play.yml").write_text(json.dumps(PLAY))
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            str(tmp_path / "hosts.json"),
            "--tags",
            "sam2_backend",
            str(tmp_path / "play.yml"),
            "-e",
            json.dumps({"__nvidia_driver_collect": "{{ probes }}"}),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in HOSTS}
    assert answers == {name: expected for name, (_, _, expected) in HOSTS.items()}
