"""What role label_studio does where another image takes the place of the one that runs, with tools that only answer."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from tools.tests.test_roles import ROOT, ansible

#: of a host, notes what it is asked, and answers what that host is told for these words
TOOLS = """
import json, pathlib, sys
host, words = sys.argv[1], " ".join(sys.argv[2:]).removesuffix(" --json")
with pathlib.Path(host).open("a") as file:
    file.write(words + "\\n")
answer = json.loads(pathlib.Path("answers").read_text())[host].get(words, {"changed": True})
print(json.dumps(answer))
sys.exit("error" in answer)
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: label_studio, tasks_from: exchange}
    - ansible.builtin.command: {cmd: "{{ samstudio_tools_command | join(' ') }} go on"}
- hosts: localhost
  gather_facts: false
  vars: {label_studio_image: new, __label_studio_found: "{{ case.0 }}"}
  tasks:
    - ansible.builtin.include_vars: {file: "{{ role }}/vars/main.yml"}
    - ansible.builtin.debug: {msg: "case {{ __label_studio_is_another }} {{ __label_studio_is_exchanged }}"}
      vars: {label_studio_database: "{{ case.1 }}", samstudio_database_host: "{{ case.2 }}"}
      loop: "{{ cases }}"
      loop_control: {loop_var: case}
"""
#: in place of the tasks that run the container
SERVE = """
- {name: Start it, ansible.builtin.fail: {msg: port in use}, when: inventory_hostname == 'taken'}
"""
BACK = {
    "changed": True,
    "said": "Label Studio 1.22.0 serves again.",
    "made": "1 annotations",
    "removals": ["rm newer"],
    "log": "last-words",
    "notes": ["No token yet."],
}
ERROR = {"error": {"message": "It does not come up.", "found": "after 20 s"}}
HOSTS: dict[str, dict[str, Any]] = {
    "good": {},
    "silent": {"exchange prove": ERROR, "rollback --yes": BACK},
    "taken": {"rollback --yes": BACK},
    "full": {"exchange begin": ERROR},
}
OLD = {"container": {"Config": {"Image": "old"}}}
CASES = [
    ({"container": None}, "sqlite", "here", "case False False"),
    ({"skipped": True}, "sqlite", "here", "case False False"),
    ({"container": {"Config": {"Image": "new"}}}, "sqlite", "here", "case False False"),
    (OLD, "sqlite", "here", "case True True"),
    (OLD, "postgresql", "here", "case True True"),
    (OLD, "postgresql", "there", "case True False"),
]


def test_another_label_studio_stays_only_where_it_proves_good(tmp_path: Path) -> None:
    for name in ("label_studio/tasks/exchange.yml", "samstudio_tools/tasks/run.yml"):
        (tmp_path / "roles" / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / "roles" / name, tmp_path / "roles" / name)
    written = {"roles/label_studio/tasks/serve.yml": SERVE, "play.yml": PLAY, "tools.py": TOOLS}
    written |= {"answers": json.dumps(HOSTS), "hosts": "\n".join(HOSTS)}
    for name, content in written.items():
        (tmp_path / name).write_text(content)
    said = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "samstudio_tools_command": [sys.executable, str(tmp_path / "tools.py"), "{{ inventory_hostname }}"],
        "samstudio_tools_check": [],
        "samstudio_label_studio_host": "here",
        "label_studio_version": "1.23.2",
        "role": str(ROOT / "roles" / "label_studio"),
        "cases": [case for *case, _ in CASES],
    }
    done = ansible("-i", "hosts", "play.yml", "-e", json.dumps(said), cwd=tmp_path, roles=tmp_path / "roles")
    assert done.returncode == 2, done.stdout
    asked = {host: (tmp_path / host).read_text().splitlines() for host in HOSTS}
    assert asked == {
        "good": ["exchange begin", "exchange prove", "go on"],
        "silent": ["exchange begin", "exchange prove", "rollback --yes"],
        "taken": ["exchange begin", "rollback --yes"],
        "full": ["exchange begin"],  # going back would take an earlier upgrade back
    }
    ends = {host: done.stdout.rpartition(f"fatal: [{host}]: FAILED!")[2].partition("\nfatal:")[0] for host in HOSTS}
    for host, why in {"silent": "It does not come up. after 20 s", "taken": "Start it: port in use"}.items():
        said_why = f"Label Studio 1.23.2 was taken back: {why}"
        for words in (said_why, BACK["said"], "1 annotations", "rm newer", "last-words", "No token yet."):
            assert str(words) in ends[host]
    assert re.findall(r"case \w+ \w+", done.stdout) == [expected for *_, expected in CASES]


def test_the_image_of_a_kept_container_stays_and_destroy_removes_the_container() -> None:
    tasks = yaml.safe_load((ROOT / "roles" / "build_context" / "tasks" / "remove_older_images.yml").read_text())
    (used,) = (task["register"] for task in tasks if "ps" in task.get("ansible.builtin.command", {}).get("argv", []))
    assert used in tasks[-1]["loop"]
    assert "'label-studio-before'" in (ROOT / "playbooks" / "destroy.yml").read_text()
