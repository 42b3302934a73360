"""What the roles promise about their variables; the hand-run backend takes the settings of the deployed one."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio import ssrf
from samstudio.gpu.compatibility import TORCH_BUILDS

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def ansible(*words: str, cwd: Path = ROOT, roles: Path = ROOT / "roles") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(roles),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), *words]
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@functools.cache
def listed_tasks() -> list[list[tuple[str, set[str]]]]:
    """The name and the tags of each task of each play of site.yml."""
    listing = ansible("-i", "inventory/local", "site.yml", "--list-tasks")
    assert listing.returncode == 0, listing.stderr
    plays = re.split(r"^  play #", listing.stdout, flags=re.MULTILINE)[1:]
    tasks = [re.findall(r"^      (\S.*?)\s+TAGS: \[(.*)\]", play, flags=re.MULTILINE) for play in plays]
    return [[(name, set(tags.split(", "))) for name, tags in play] for play in tasks]


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from mappings(child)


@functools.cache
def entry_points() -> set[tuple[str, str]]:
    """Each role and tasks file that a play or another role uses."""
    used = set()
    for file in [*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("molecule/*/*.yml")]:
        for part in mappings(yaml.safe_load(file.read_text())):
            for action in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
                if action in part:
                    used.add((part[action]["name"], part[action].get("tasks_from", "main")))
            if "hosts" in part:
                used |= {(role if isinstance(role, str) else role["role"], "main") for role in part.get("roles", [])}
    return used


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_specified_and_every_specification_has_a_default(role: str) -> None:
    folder = ROOT / "roles" / role
    entries = read(folder / "meta" / "argument_specs.yml")["argument_specs"].values()
    specified = {name: option for entry in entries for name, option in entry.get("options", {}).items()}
    defaults = read(folder / "defaults" / "main.yml") or {}
    required = {name for name, option in specified.items() if option.get("required")}
    assert set(specified) - required == set(defaults)


@pytest.mark.parametrize("role", ROLES)
def test_a_specification_is_of_an_entry_point_that_is_used(role: str) -> None:
    specified = read(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    assert {(role, entry) for entry in specified} & entry_points()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sam2_backend_threads": "many"}, "sam2_backend_threads"),
        ({"model_registration_config": "fancy"}, "model_registration_config"),
        ({"label_studio_extra_environment": {"DEBUG": "true"}}, "Found DEBUG in label_studio_extra_environment"),
        ({"label_studio_admitted_addresses": ["10.0.0.0/4"]}, "10.0.0.0/4"),
        ({"backups_to": "backups"}, "Found backups_to=backups"),
        ({"backups_to": "/mnt/50%"}, "Found backups_to=/mnt/50%"),
        ({"backups_to": "restic:/mnt/usb"}, "backups_password_file= (expected"),
        ({"backups_keep": 0}, "backups_keep=0"),
        ({"backups_at": "2:15"}, "backups_at=2:15"),
        (
            {"monitoring_enabled": True, "monitoring_alertmanagers": ["http://a:9093"]},
            "['http://a:9093'] (expected a list",
        ),
        ({"samstudio_registry_user": "robot"}, "Found samstudio_registry_user=robot without"),
        (
            {"samstudio_registry_user": "robot", "samstudio_registry_password_file": "/nowhere/password"},
            "samstudio_registry_password_file=/nowhere/password",
        ),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_looked_at(wrong: dict[str, Any], said: str) -> None:
    done = ansible("-i", "inventory/local", "playbooks/preflight.yml", "-e", json.dumps(wrong))
    assert done.returncode == 2
    assert said in " ".join(done.stdout.split())
    assert "TASK [preflight : " not in done.stdout


CHECKED = """
- hosts: label_studio_hosts
  gather_facts: false
  roles: [samstudio]
  tasks:
    - ansible.builtin.import_role: {name: samstudio_tools, tasks_from: precheck}
"""


def test_data_without_its_secrets_is_an_error(tmp_path: Path) -> None:
    data, secrets = tmp_path / "data" / "label-studio", tmp_path / "etc" / "secrets"
    data.mkdir(parents=True)
    (data / "label_studio.sqlite3").touch()
    (tmp_path / "play.yml").write_text(CHECKED)
    folders = {"samstudio_data_dir": str(tmp_path / "data"), "samstudio_config_dir": str(tmp_path / "etc")}

    def refused(**more: Any) -> bool:
        inventory = str(ROOT / "inventory" / "local")
        done = ansible("-i", inventory, "play.yml", "-e", json.dumps(folders | more), cwd=tmp_path)
        told = f"no label_studio_admin_password in {secrets}" in " ".join(done.stdout.split())
        assert done.returncode == 2 * told, done.stdout
        return told

    assert refused()
    assert not refused(samstudio_new_secrets=True)
    secrets.mkdir(parents=True)
    (secrets / "label_studio_admin_password").touch()
    assert not refused()


SETTINGS = """
- hosts: all
  gather_facts: false
  roles: [samstudio]
  tasks:
    - ansible.builtin.copy:
        content: "{{ [label_studio_url, samstudio_data_dir, __label_studio_environment] | to_json }}"
        dest: "{{ result }}"
        mode: "0600"
"""


@pytest.mark.parametrize("place", ["group_vars/all/mine.yml", "hosts.yml"])
def test_an_inventory_has_the_last_word_but_for_the_command_line(tmp_path: Path, place: str) -> None:
    lab = tmp_path / "lab"
    (lab / place).parent.mkdir(parents=True)
    mine: dict[str, Any] = {
        "label_studio_port": 9999,
        "samstudio_data_dir": "/srv/samstudio",
        "samstudio_domain": "label.example.com",
    }
    mine |= {"label_studio_extra_environment": {"AWS_DEFAULT_REGION": "eu-north-1", "TASK_LOCK_TTL": 60}}
    mine |= {"label_studio_admitted_addresses": ["10.0.0.40/32"]}
    groups = {group: {"hosts": {"here": None}} for group in ("label_studio_hosts", "sam2_hosts")}
    here: dict[str, Any] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inline = here | mine if place == "hosts.yml" else here
    files = {place: mine, "hosts.yml": {"all": {"children": groups, "vars": inline}}}
    for name, content in files.items():
        (lab / name).write_text(json.dumps(content))
    (tmp_path / "play.yml").write_text(SETTINGS)
    said = ["-e", f"result={tmp_path}/said", "-e", "samstudio_domain=typed.example.com"]
    done = ansible("-i", "lab/hosts.yml", "play.yml", *said, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    url, data_dir, environment = json.loads((tmp_path / "said").read_text())
    assert (url, data_dir) == ("http://127.0.0.1:9999", "/srv/samstudio")
    assert environment["LABEL_STUDIO_HOST"] == "https://typed.example.com"
    assert (environment["AWS_DEFAULT_REGION"], environment["TASK_LOCK_TTL"]) == ("eu-north-1", "60")
    banned = environment["USER_ADDITIONAL_BANNED_SUBNETS"].split(",")
    assert ssrf.blocking(banned, "10.0.0.40") == ssrf.blocking(banned, "172.30.9.20") == []
    assert ssrf.blocking(banned, "10.0.0.41")
    assert ssrf.blocking(banned, "172.30.9.21")


SOURCES = """
- hosts: here
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {file: "{{ role }}/vars/main.yml"}
    - ansible.builtin.copy: {content: "{{ __preflight_callers_proxies | to_json }}", dest: "{{ result }}", mode: "0600"}
"""


def test_the_callers_proxies_are_handed_to_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "play.yml").write_text(SOURCES)
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"here": here}}}))
    said = {"role": str(ROOT / "roles" / "preflight"), "result": str(tmp_path / "said")}
    done = ansible("-i", "hosts.yml", "play.yml", "-e", json.dumps(said), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / "said").read_text())["HTTPS_PROXY"] == "http://proxy.example.com:3128"


def test_no_play_does_the_same_twice() -> None:
    counts = [Counter(name for name, _ in play) for play in listed_tasks()]
    assert [name for play in counts for name, count in play.items() if count > 1] == []


def test_a_role_that_builds_an_image_runs_alone() -> None:
    builders = {"database", "label_studio", "sam2_backend", "tls_proxy", "backend_balancer"}
    tags = dict(task for play in listed_tasks() for task in play)
    assert builders - tags["build_context : Say what the images of this host are named by"] == set()


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_their_roles_name(role: str) -> None:
    folder = ROOT / "roles" / role
    names = {**(read(folder / "defaults" / "main.yml") or {}), **(read(folder / "vars" / "main.yml") or {})}
    assert [name for name in names if not name.lstrip("_").startswith(role)] == []


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_what_another_keeps_to_itself(role: str) -> None:
    files = [path for path in (ROOT / "roles" / role).rglob("*") if path.suffix in (".yml", ".j2")]
    private = {name for path in files for name in re.findall(r"\b__([a-z]\w*)", path.read_text())}
    others = {name for name in private for other in ROLES if name.startswith(f"{other}_") and other != role}
    assert {name for name in others if not name.startswith(role)} == set()


def test_a_tasks_name_says_what_it_is_about() -> None:
    """In a log it stands alone: "Remove them" tells nothing there."""
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]
    tasks = [part for file in files for part in mappings(yaml.safe_load(file.read_text()))]
    names = {str(part["name"]) for part in tasks if {"name"} < set(part)}
    assert len(names) > 300
    assert {name for name in names if re.fullmatch(r"[A-Z][a-z]+|[A-Z][a-z]+ (it|them)|Begin to .* it", name)} == set()


@pytest.mark.parametrize("role", ROLES)
def test_role_has_a_readme(role: str) -> None:
    assert f"# {role}" in (ROOT / "roles" / role / "README.md").read_text()


def test_the_backend_asks_itself_how_it_gets_its_gpu() -> None:
    """Tags may skip the roles that bring driver and toolkit."""
    serve = yaml.safe_load((ROOT / "roles" / "sam2_backend" / "tasks" / "serve.yml").read_text())
    names = [(task.get("ansible.builtin.include_role") or {}).get("name") for task in serve]
    runs = next(n for n, task in enumerate(serve) if task.get("ansible.builtin.include_tasks") == "serve_one.yml")
    assert "nvidia_container_toolkit" in names[:runs]


UNIT = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {samstudio_config_dir: /etc/samstudio, samstudio_opt_dir: /opt/samstudio, samstudio_data_dir: /srv/lab}
  tasks:
    - ansible.builtin.include_vars: {file: "{{ role }}/defaults/main.yml"}
    - ansible.builtin.include_vars: {file: "{{ role }}/vars/main.yml"}
    - ansible.builtin.template:
        src: "{{ role }}/templates/samstudio-tunnel.service.j2"
        dest: "{{ unit }}"
        mode: "0644"
"""


def test_the_tunnels_service_may_write_its_state_wherever_the_data_is(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(UNIT)
    unit = tmp_path / "samstudio-tunnel.service"
    where = {"role": str(ROOT / "roles" / "tunnel"), "unit": str(unit)}
    done = ansible("play.yml", "-e", json.dumps(where), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert settings["ProtectSystem"] == "strict"
    assert settings["ReadWritePaths"] == "/srv/lab/tunnel"
    assert not settings.get("StateDirectory", "").startswith("/")


def test_systemd_reads_units_again_only_where_the_tunnels_unit_changed() -> None:
    files = [ROOT / "roles" / "tunnel" / file for file in ("tasks/present.yml", "handlers/main.yml")]
    units = [part for file in files for part in mappings(yaml.safe_load(file.read_text())) if "daemon_reload" in part]
    assert [unit["daemon_reload"] for unit in units] == ["{{ __tunnel_described is changed }}"]


def test_no_condition_of_an_imported_playbook_changes_while_it_runs() -> None:
    """It is evaluated for each task: what the playbook itself sets would skip the rest of it, its assertions too."""
    plays = read(ROOT / "playbooks" / "deploy.yml")
    conditions = [str(play["when"]) for play in plays if "ansible.builtin.import_playbook" in play and "when" in play]
    assert conditions
    for condition in conditions:
        assert "preflight_plan" not in condition
        assert "preflight_found" not in condition


def test_every_play_that_fetches_knows_the_hosts_proxies() -> None:
    plays = [*read(ROOT / "playbooks" / "deploy.yml"), *read(ROOT / "playbooks" / "bundle.yml")]
    asked = [play for play in plays if "hosts" in play and play["name"] != "Connect Label Studio and the backend"]
    assert len(asked) > 7
    assert [play["name"] for play in asked if "preflight_found.proxies" not in play.get("environment", "")] == []


def test_on_the_control_machine_everything_is_done_as_who_deploys() -> None:
    """An inventory's ansible_become wins over the keyword `become`, and root's files could not be read afterwards."""
    files = ROOT.glob("roles/*/tasks/*.yml")
    tasks = [task for file in files for task in mappings(yaml.safe_load(file.read_text()))]
    local = [task for task in tasks if task.get("delegate_to") == "localhost"]
    assert len(local) > 5
    assert [task["name"] for task in local if task["vars"].get("ansible_become") is not False or "become" in task] == []


def test_packages_are_found_on_a_host_that_never_fetched_a_list() -> None:
    tasks = {file: list(mappings(yaml.safe_load(file.read_text()))) for file in ROOT.glob("roles/*/tasks/*.yml")}
    installs = {
        file: [task["ansible.builtin.apt"] for task in found if "ansible.builtin.apt" in task]
        for file, found in tasks.items()
    }
    assert sum(map(len, installs.values())) > 8
    assert [str(file) for file, found in installs.items() if found and not found[0].get("update_cache")] == []
    assert [str(file) for file, found in tasks.items() for task in found if "ansible.builtin.package" in task] == []


def test_every_container_starts_from_the_same_hardening() -> None:
    module = "community.docker.docker_container"
    tasks = [task for file in ROOT.glob("roles/*/tasks/*.yml") for task in mappings(yaml.safe_load(file.read_text()))]
    runs = [task for task in tasks if "networks" in (task.get(module) or ())]
    hardening = read(ROOT / "roles" / "samstudio" / "vars" / "main.yml")["samstudio_container_defaults"]
    assert hardening["read_only"] is hardening["init"] is True
    assert (hardening["cap_drop"], hardening["security_opts"]) == (["ALL"], ["no-new-privileges"])
    assert {task[module]["name"].strip("{} ") for task in runs if not set(hardening) & set(task[module])} == {
        "label_studio_container",
        "__sam2_backend_this.container",
        "database_container",
        "backend_balancer_container",
        "tls_proxy_container",
    }
    assert {task["module_defaults"][module] for task in runs} == {"{{ samstudio_container_defaults }}"}


def included(folder: Path, task: dict[str, Any]) -> list[str]:
    """The names of the tasks that a task includes."""
    file = task.get("ansible.builtin.include_tasks")
    return [each["name"] for each in read(folder / file)] if file else []


@pytest.mark.parametrize(
    "tasks",
    [
        "label_studio/tasks/main.yml",
        "sam2_backend/tasks/serve.yml",
        "database/tasks/present.yml",
        "backend_balancer/tasks/present.yml",
        "tls_proxy/tasks/present.yml",
    ],
)
def test_an_older_image_goes_only_once_the_new_container_answers(tasks: str) -> None:
    file = ROOT / "roles" / tasks
    names = [name for task in read(file) for name in (task["name"], *included(file.parent, task))]
    answers = next(number for number, name in enumerate(names) if name.startswith("Wait until "))
    assert next(number for number, name in enumerate(names) if name.startswith("Remove older images")) > answers


def test_compose_file_knows_every_setting_of_the_role() -> None:
    role = read(ROOT / "roles" / "sam2_backend" / "vars" / "main.yml")["__sam2_backend_environment"]
    service = read(ROOT / "backend" / "compose.yaml")["services"]["sam2-backend"]
    in_the_image = {"MODEL_DIR", "CACHE_DIR", "PORT", "HOME"}
    renamed = {name.removesuffix("_FILE") for name in role}
    assert renamed - in_the_image == set(service["environment"]) - {"WORKERS"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_takes_the_torch_that_the_roles_would_take() -> None:
    index = read(ROOT / "roles" / "preflight" / "defaults" / "main.yml")["preflight_torch_index"]
    for file, build in {"compose.yaml": "cpu", "compose.gpu.yaml": TORCH_BUILDS[0].index}.items():
        service = read(ROOT / "backend" / file)["services"]["sam2-backend"]
        assert service["build"]["args"]["TORCH_INDEX_URL"] == f"${{TORCH_INDEX_URL-{index}/{build}}}"
