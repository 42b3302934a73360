"""What the probe tells of a host: of this machine, and of hosts whose programs are stand-ins."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from samstudio.preflight import probe

from .preflight_host import decide, told

SETTINGS: dict[str, Any] = {
    "ports": {},
    "subnet": "172.30.9.0/24",
    "network": "no-such-network",
    "containers": ["label-studio"],
    "all_containers": ["label-studio", "sam2-backend"],
    "config_dir": "/nowhere/etc",
    "data_dir": "/nowhere/data",
    "images": "",
    "files": [],
}


def test_it_sees_this_machine(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = {
            **SETTINGS,
            "ports": {str(port): "127.0.0.1"},
            "config_dir": str(tmp_path),
            "data_dir": str(tmp_path / "not" / "there"),
            "images": str(tmp_path / "missing"),
            "files": [__file__],
        }
        found = told(probe, settings, os.environ)
    assert found["ports"][str(port)] != ""
    assert found["files"] == {__file__: Path(__file__).stat().st_size}
    assert found["images_problem"].endswith("is not a folder")
    assert min(found["free_bytes"].values()) > 0
    assert found["memory_bytes"] > 0


def test_it_says_whose_sudo_made_it_root(tmp_path: Path) -> None:
    found = told(probe, SETTINGS, {"PATH": str(tmp_path), "SUDO_USER": "somebody"})
    assert found["sudo_user"] == "somebody"
    (row,) = [row for row in decide({"sudo_user": "somebody"})["rows"] if row["what"] == "user"]
    assert row["found"] == "uid 0, somebody by sudo"
    assert "where sudo wants a password, once" in row["why"]


def test_a_stopped_engine_does_not_hide_the_deployment(tmp_path: Path) -> None:
    """The bridge outlives the engine; without memory of the deploy its route would be a stranger's."""
    assert probe.deployed_subnet(str(tmp_path)) == ""
    (tmp_path / "deployment.yml").write_text("network:\n  name: samstudio\n  subnet: 172.30.9.0/24\n")
    assert probe.deployed_subnet(str(tmp_path)) == "172.30.9.0/24"


def host_with(folder: Path, programs: dict[str, str]) -> dict[str, Any]:
    """What the probe tells of a host that has these programs, each a shell script, and no others."""
    for name, script in programs.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    path = ":".join(str(folder / place) for place in ("bin", "snap/bin"))
    return told(probe, SETTINGS, {"PATH": path})


def docker(system: str, *running: str) -> str:
    """An engine that answers, and the containers that run in it."""
    return (
        f"case $1 in info) echo '28.2.2|/var/lib/docker|false|{system}' ;; "
        f"ps) printf '%s\\n' {' '.join(running)} ;; *) exit 1 ;; esac"
    )


SILENT = "echo 'Cannot connect to the Docker daemon' >&2; exit 1"
DEBIAN = "Debian GNU/Linux 12 (bookworm)"
#: dpkg-query, which tells of the packages that it is asked about
PACKAGES = """
for name in "$@"; do case $name in
    containerd | podman-docker) echo "$name installed" ;;
    runc) echo "$name config-files" ;;
esac; done
"""


@pytest.mark.parametrize(
    ("programs", "told_of", "says"),
    [
        pytest.param({"snap/bin/docker": docker(DEBIAN)}, {"kind": "snap"}, "snap remove docker", id="from a snap"),
        pytest.param(
            {"snap/bin/docker": SILENT}, {"kind": "snap"}, "snap remove docker", id="a snap that stands still"
        ),
        pytest.param(
            {"bin/docker": docker("Docker Desktop")}, {"kind": "desktop"}, "Quit Docker Desktop", id="Docker Desktop"
        ),
        pytest.param(
            {"bin/dpkg-query": PACKAGES},
            {"packages": ["containerd", "podman-docker"], "installed": False},
            "docker_engine_replace=true",
            id="packages in an engine's way",
        ),
        pytest.param(
            {"bin/kubelet": "exit 1"}, {"kubelet": True, "installed": False}, "another host", id="a Kubernetes node"
        ),
        pytest.param(
            {"bin/docker": docker(DEBIAN, "label-studio", "sam2-backend-2", "grafana")},
            {"version": "28.2.2", "other_containers": ["grafana"]},
            "",
            id="somebody else's containers",
        ),
        pytest.param(
            {"bin/docker": SILENT, "bin/dockerd": "exit 1"},
            {"installed": True, "error": "Cannot connect to the Docker daemon"},
            "",
            id="an engine that stands still",
        ),
    ],
)
def test_what_stands_in_an_engines_way_is_found_and_stops(
    tmp_path: Path, programs: dict[str, str], told_of: dict[str, Any], says: str
) -> None:
    found = host_with(tmp_path, programs)["engine"]
    assert {key: found[key] for key in told_of} == told_of
    problems = decide({"engine": found})["problems"]
    assert len(problems) == bool(says)
    assert says in "".join(problems)


def test_a_bare_host_has_nothing_in_its_way(tmp_path: Path) -> None:
    found = host_with(tmp_path, {})["engine"]
    assert (found["installed"], found["kind"], found["packages"], found["kubelet"]) == (False, "", [], False)
    assert decide({"engine": {**found, "rootless": []}})["problems"] == []


def test_a_rootless_engine_is_found_by_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket_ = tmp_path / "1000" / "docker.sock"
    socket_.parent.mkdir()
    socket_.touch()
    monkeypatch.setattr(probe, "USERS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.engine()["rootless"] == [str(socket_)]


def test_a_node_is_known_by_the_folder_of_its_kubelet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """k3s and MicroK8s bring a kubelet that is no command of its own."""
    monkeypatch.setattr(probe, "KUBELET", tmp_path / "kubelet")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.engine()["kubelet"] is False
    probe.KUBELET.mkdir()
    assert probe.engine()["kubelet"] is True
