"""Role samstudio_tools on this machine: which tools are installed after a rollback, and once Python is another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Tools that only say which they are; the role packs what lies beside it.
SAY = "{{ project }}/tools/samstudio/__main__.py"
PLAY = """
- hosts: localhost
  gather_facts: false
  connection: local
  tasks:
    - ansible.builtin.include_tasks: install.yml
      loop: [A, B, A, python, A]
      loop_control: { loop_var: step }
"""
STEP = """
- when: step != 'python'
  block:
    - ansible.builtin.copy: { content: "print('{{ step }}')", dest: "%s", mode: "0644" }
    - ansible.builtin.include_role: { name: samstudio_tools, tasks_from: tools, public: true }
    - ansible.builtin.command: { argv: "{{ samstudio_tools_command }}" }
      register: said
    - ansible.builtin.shell: { cmd: "echo {{ step }} {{ said.stdout }} >> {{ project }}/said" }
- when: step == 'python'
  ansible.builtin.command: { cmd: mv venv/lib venv/lib-of-another-python, chdir: "{{ samstudio_opt_dir }}" }
"""


def test_tools_roll_back_and_outlive_another_python(tmp_path: Path) -> None:
    for role in ("samstudio", "samstudio_tools"):
        shutil.copytree(ROOT / "roles" / role, tmp_path / "roles" / role)
    (tmp_path / "roles" / "samstudio" / "tasks" / "main.yml").unlink()
    for folder in ("tools/samstudio", "tools/requirements", "opt"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tools" / "samstudio" / "__init__.py").touch()
    (tmp_path / "tools" / "requirements" / "tools.lock").touch()
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "install.yml").write_text(STEP % SAY)
    settings = {
        "project": str(tmp_path),
        "samstudio_opt_dir": str(tmp_path / "opt"),
        "samstudio_config_dir": str(tmp_path),
        "samstudio_tools_python": sys.executable,
        "ansible_python_interpreter": sys.executable,
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": "roles"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "play.yml", "-e", json.dumps(settings)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "said").read_text().split("\n") == ["A A", "B B", "A A", "A A", ""]
