"""What role monitoring writes: whom Prometheus asks, what the units may do, what the script for GPUs says."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.tests.test_roles import ROOT, ansible
from tools.tests.test_units import verify
from tools.tests.watching.promtool import promtool

ROLE = ROOT / "roles" / "monitoring"
WRITE = """
- hosts: label_studio_hosts
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {file: "{{ role }}/defaults/main.yml"}
    - ansible.builtin.include_vars: {file: "{{ role }}/vars/main.yml"}
    - ansible.builtin.template:
        src: "{{ role }}/templates/prometheus.yml.j2"
        dest: "{{ to }}/prometheus.yml"
        mode: "0644"
    - ansible.builtin.template:
        src: "{{ role }}/templates/{{ 'probe.timer.j2' if item.1 == 'timer' else item.0.name ~ '.service.j2' }}"
        dest: "{{ to }}/{{ item.0.name }}.{{ item.1 }}"
        mode: "0644"
      loop: "{{ __monitoring_run | product(['service', 'timer']) if units else [] }}"
      when: item.1 == 'service' or item.0.kind == 'timer'
    - ansible.builtin.copy:
        content: "{{ [__monitoring_files | sort, gone | sort] | to_json }}"
        dest: "{{ to }}/files.json"
        mode: "0644"
      vars: {gone: "{{ __monitoring_all_files | difference(__monitoring_files) }}"}
"""
SETTINGS: dict[str, Any] = {
    "role": str(ROLE),
    "units": True,
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "monitoring_enabled": True,
    "samstudio_config_dir": "/etc/samstudio",
    "samstudio_data_dir": "/srv/the lab",
    "samstudio_label_studio_host": "studio",
    "samstudio_database_host": "studio",
    "samstudio_database_address": "172.30.9.30",
    "samstudio_backend_address": "172.30.9.20",
    "samstudio_tools_command": [sys.executable, "-m", "samstudio", "--config-dir", "/etc/samstudio"],
    "samstudio_fleet": False,
    "sam2_backend_port": 9090,
    "sam2_backend_basic_auth_user": "label-studio",
    "label_studio_database": "sqlite",
    "database_port": 5432,
    "preflight_backends": [{"device": ""}],
}


def write(folder: Path, hosts: dict[str, dict[str, Any]], **more: Any) -> Path:
    """The folder with what the role writes on host studio, for an inventory of hosts by name with their variables."""
    written = folder / "written"
    written.mkdir()
    (folder / "play.yml").write_text(WRITE)
    backends = [name for name in hosts if name != "studio"] or ["studio"]
    groups = {"label_studio_hosts": ["studio"], "sam2_hosts": backends}
    children = {name: {"hosts": {host: hosts[host] for host in members}} for name, members in groups.items()}
    (folder / "hosts.yml").write_text(json.dumps({"all": {"children": children}}))
    told = ["-e", json.dumps({**SETTINGS, "to": str(written), **more})]
    done = ansible("-i", "hosts.yml", "play.yml", *told, cwd=folder)
    assert done.returncode == 0, done.stdout
    return written


def asked(written: Path) -> dict[str, dict[str, str]]:
    """By job and by instance, the address that Prometheus asks."""
    told = yaml.safe_load((written / "prometheus.yml").read_text())
    return {
        job["job_name"]: {each["labels"]["instance"]: each["targets"][0] for each in job["static_configs"]}
        for job in told["scrape_configs"]
    }


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("single"), {"studio": {}}, units=False)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backends = [{"name": f"gpu{n}", "reached_at": f"10.0.0.1{n}:9090"} for n in (1, 2)]
    return write(
        tmp_path_factory.mktemp("fleet"),
        {"studio": {}, "gpu1": {"monitoring_exporter_listen": "10.0.0.11"}, "gpu2": {}},
        samstudio_fleet=True,
        samstudio_tools_backends=backends,
        label_studio_database="postgresql",
        monitoring_alertmanagers=["10.0.0.5:9093"],
        preflight_backends=[{"device": "GPU-1"}, {"device": "MIG-2"}],
    )


def test_a_single_host_asks_itself_on_loopback(single: Path) -> None:
    assert asked(single) == {
        "prometheus": {"studio": "127.0.0.1:9490"},
        "node": {"studio": "127.0.0.1:9491"},
        "sam2_backend": {"studio": "172.30.9.20:9090"},
    }
    kept, gone = json.loads((single / "files.json").read_text())
    services = [f"samstudio-{name}.service" for name in ("metrics", "node-exporter", "prometheus")]
    assert kept == sorted([*services, "samstudio-metrics.timer"])
    absent = ["samstudio-gpus.service", "samstudio-gpus.timer", "samstudio-postgres-exporter.service"]
    assert gone == absent


def test_a_fleet_asks_who_names_an_address_and_each_backend(fleet: Path) -> None:
    assert asked(fleet) == {
        "prometheus": {"studio": "127.0.0.1:9490"},
        "node": {"studio": "127.0.0.1:9491", "gpu1": "10.0.0.11:9491"},
        "sam2_backend": {"gpu1": "10.0.0.11:9090", "gpu2": "10.0.0.12:9090"},
        "haproxy": {"studio": "172.30.9.20:8405"},
        "postgresql": {"studio": "127.0.0.1:9492"},
    }
    assert "10.0.0.5:9093" in (fleet / "prometheus.yml").read_text()


def test_all_that_is_written_is_removed_again(fleet: Path) -> None:
    assert json.loads((fleet / "files.json").read_text())[1] == []
    known = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__monitoring_all_files"]
    assert {path.name for path in fleet.iterdir() if path.suffix in (".service", ".timer")} == set(known)


def test_prometheus_takes_its_settings(single: Path, fleet: Path) -> None:
    for written in (single, fleet):
        judged = promtool("check", "config", "--syntax-only", str(written / "prometheus.yml"))
        assert judged.returncode == 0, judged.stderr


def test_systemd_is_content_with_the_units(fleet: Path, tmp_path: Path) -> None:
    units = {path.name: path.read_text() for path in fleet.iterdir() if path.suffix in (".service", ".timer")}
    assert len(units) == 7
    for program in ("prometheus-postgres-exporter", "prometheus-node-exporter", "prometheus"):
        units = {name: text.replace(f"/usr/bin/{program} ", "/bin/true ") for name, text in units.items()}
    units = {name: text.replace("/usr/local/lib/samstudio/gpu-metrics", "/bin/true") for name, text in units.items()}
    assert verify(tmp_path, units) == ""


def test_services_write_their_figures_and_nothing_else(fleet: Path) -> None:
    metrics, figures = ["/srv/the lab/metrics"], ["/srv/the lab/prometheus"]
    expected = {
        "prometheus": figures,
        "node-exporter": [],
        "postgres-exporter": [],
        "metrics": metrics,
        "gpus": metrics,
    }
    for name, folders in expected.items():
        text = (fleet / f"samstudio-{name}.service").read_text()
        settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
        assert shlex.split(settings.get("ReadWritePaths", "")) == folders
        assert (settings["ProtectSystem"], settings["NoNewPrivileges"]) == ("strict", "yes")
        assert settings["CapabilityBoundingSet"] == ("CAP_DAC_OVERRIDE" if name == "metrics" else "")
        assert (settings.get("User") == "prometheus") == (name not in ("metrics", "gpus"))


def gpus(folder: Path, nvidia_smi: str, *devices: str) -> str:
    """What the script writes where nvidia-smi is that script."""
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
    (folder / "nvidia-smi").chmod(0o755)
    argv = [str(ROLE / "files" / "gpu-metrics"), str(folder / "gpus.prom"), *devices]
    subprocess.run(argv, check=True, timeout=30, env={"PATH": f"{folder}:/usr/bin:/bin"})
    text = (folder / "gpus.prom").read_text()
    judged = promtool("check", "metrics", given=text)
    assert judged.returncode == 0, judged.stderr
    return "".join(line.rsplit(" ", 1)[1] for line in text.splitlines() if line[0] != "#")


def test_a_gpu_that_the_driver_no_longer_lists_is_gone(tmp_path: Path) -> None:
    listed = "echo 'GPU 0: NVIDIA L4 (UUID: GPU-11)'; echo '  MIG 1g.10gb     Device  0: (UUID: MIG-2)'"
    assert gpus(tmp_path, listed, "GPU-11", "MIG-2", "GPU-1") == "110"
    assert gpus(tmp_path, f"{listed}; exit 9", "GPU-11") == "0"
    (tmp_path / "nvidia-smi").unlink()
    assert gpus(tmp_path, "exit 127", "GPU-11") == "0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpus.prom", "nvidia-smi"]
