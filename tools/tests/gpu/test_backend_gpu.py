"""A backend is deployed by its tag alone on a GPU host: it asks by itself how a container gets the GPU there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from .hosts import Host

ROOT = Path(__file__).parents[3]
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: {python}
    ansible_facts: {{python: {{executable: {python}}}}}
    preflight_plan: {{choices: {{device: {device}, gpu: GPU-0}}}}
  roles:
    - {{role: nvidia_container_toolkit, tags: [nvidia_container_toolkit]}}
  tasks:
    - ansible.builtin.import_role: {{name: sam2_backend, tasks_from: gpu}}
      tags: [sam2_backend]
    - ansible.builtin.copy: {{content: "{{{{ __sam2_backend_gpu | to_json }}}}", dest: "{answer}"}}
      tags: [sam2_backend]
"""


@pytest.mark.parametrize(
    ("device", "engine", "expected"),
    [
        ("cuda", "29.1.3", {"device_requests": [{"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-0"]}]}),
        (
            "cuda",
            "20.10.24",
            {
                "runtime": "nvidia",
                "env": {"NVIDIA_VISIBLE_DEVICES": "GPU-0", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
            },
        ),
        ("cpu", "29.1.3", {}),
    ],
)
def test_by_its_tag_alone(tmp_path: Path, device: str, engine: str, expected: dict[str, object]) -> None:
    host = Host("debian12", ("RTX 3090",), "580.95.05", engine=engine)
    probes = json.dumps({name: asdict(output) for name, output in host.outputs().items()})
    (tmp_path / "probes.py").write_text(f"print({probes!r})")
    answer = tmp_path / "answer.json"
    (tmp_path / "play.yml").write_text(PLAYBOOK.format(device=device, answer=answer, python=sys.executable))
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "--tags", "sam2_backend", str(tmp_path / "play.yml"),
         "-e", f"__nvidia_driver_collect={tmp_path / 'probes.py'}"],
        capture_output=True, check=False, text=True, timeout=120, cwd=ROOT,
        env={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(answer.read_text()) == expected
