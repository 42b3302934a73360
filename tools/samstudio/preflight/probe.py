#!/usr/bin/env python3
"""What this host has and what it can reach, as one JSON object on stdout. Changes nothing.

Runs on the host itself, as root, with nothing but the standard library (Python 3.9 or later): Ansible sends this one
file. Settings arrive as JSON in the environment variable PREFLIGHT_SETTINGS:

    ports: {port: address}  what the deployment wants to listen on
    subnet: str             the private network's subnet
    network: str            the private network's name
    containers: [str]       our own containers (a port or subnet that they hold is ours); NAME-2 is ours like NAME
    all_containers: [str]   those and others that a deploy may run on a host
    config_dir: str         where deployment.yml is, if there was a deploy
    data_dir: str           where data will live (disk space is measured there and where the engine keeps images)
    images: str             the user's image folder, or ""
    files: [str]            files whose size is wanted
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

DOCKER_ROOT = "/var/lib/docker"
USERS = Path("/run/user")
#: where every distribution of Kubernetes has its kubelet's state, those too that bring no command of that name
KUBELET = Path("/var/lib/kubelet")
ENGINE_INFO = "{{.ServerVersion}}|{{.DockerRootDir}}|{{.LiveRestoreEnabled}}|{{.OperatingSystem}}"
ENGINE_PACKAGES = (
    "containerd",
    "containerd.io",
    "docker-ce",
    "docker-ce-cli",
    "docker.io",
    "podman-docker",
    "runc",
)
SERVICE_UID = 10001


def run(*argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def output(*argv: str) -> str:
    done = run(*argv)
    return done.stdout.strip() if done and done.returncode == 0 else ""


def os_release() -> dict[str, str]:
    pairs: dict[str, str] = {}
    with contextlib.suppress(OSError):
        pairs = platform.freedesktop_os_release()
    return {
        "id": pairs.get("ID", ""),
        "version": pairs.get("VERSION_ID", ""),
        "codename": pairs.get("VERSION_CODENAME", ""),
        "name": pairs.get("PRETTY_NAME", platform.platform()),
    }


def memory_bytes() -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return 0


def free_bytes(*paths: str) -> dict[str, int]:
    """Free bytes by path; of paths on one filesystem, the first."""
    found: dict[int, tuple[str, int]] = {}
    for path in paths:
        folder = Path(path)
        while not folder.exists():
            folder = folder.parent
        found.setdefault(folder.stat().st_dev, (path, shutil.disk_usage(folder).free))
    return dict(found.values())


def init_system() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/1/comm").read_text().strip()
    return "unknown"


def engine() -> dict[str, Any]:
    """The Docker engine: its version and root folder, or why it does not answer; and what stands beside or in its way.

    kind: snap or desktop, engines of a kind that cannot serve here, else empty.
    """
    found: dict[str, Any] = {
        "installed": shutil.which("dockerd") is not None,
        "version": "",
        "kind": "",
        "live_restore": False,
        "packages": installed_packages(*ENGINE_PACKAGES),
        "rootless": sorted(str(path) for path in USERS.glob("*/docker.sock")),
        "kubelet": shutil.which("kubelet") is not None or KUBELET.is_dir(),
    }
    command = shutil.which("docker")
    if not command:
        return {**found, "error": "no docker command"}
    if "snap" in Path(command).parts or "snap" in Path(command).resolve().parts:
        found["kind"] = "snap"
    done = run(command, "info", "--format", ENGINE_INFO)
    if done is None or done.returncode:
        error = (
            "docker info timed out" if done is None else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        )
        return {**found, "error": error}
    version, root, live_restore, system = done.stdout.strip().split("|")
    if system == "Docker Desktop":
        found["kind"] = "desktop"
    return {
        **found,
        "installed": True,
        "version": version,
        "root": root,
        "live_restore": live_restore == "true",
        "error": "",
    }


def installed_packages(*names: str) -> list[str]:
    done = run("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names)
    lines = done.stdout.splitlines() if done else []
    return sorted({line.partition(" ")[0] for line in lines if line.endswith(" installed")})


def daemon_options() -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        options: dict[str, Any] = json.loads(Path("/etc/docker/daemon.json").read_text())
        return options
    return {}


def running_containers() -> list[str]:
    return output("docker", "ps", "--format", "{{.Names}}").split()


def ours(running: set[str], names: list[str]) -> set[str]:
    """Those of the running containers that have one of these names, or such a name with a number."""
    return {name for name in running if re.sub(r"-\d+$", "", name) in names}


def published_ports(containers: set[str]) -> set[int]:
    """Ports of this host that these containers listen on."""
    lines = [line for name in containers for line in output("docker", "port", name).splitlines()]
    return {int(line.rpartition(":")[2]) for line in lines}


def network_subnet(name: str) -> str:
    template = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
    return output("docker", "network", "inspect", name, "--format", template)


def deployed_subnet(config_dir: str) -> str:
    """The private network's subnet as the last deploy wrote it down, for when the engine cannot be asked."""
    with contextlib.suppress(OSError):
        found = re.search(r"^ +subnet: (\S+)", (Path(config_dir) / "deployment.yml").read_text(), re.MULTILINE)
        return found[1] if found else ""
    return ""


def routes() -> list[str]:
    """Subnets that this host already routes, without the default route."""
    found = []
    for line in output("ip", "-4", "route", "show").splitlines():
        target, _, rest = line.partition(" ")
        if target != "default":
            device = rest.partition("dev ")[2].partition(" ")[0]
            found.append(f"{target if '/' in target else target + '/32'} {device}")
    return found


def listener(address: str, port: int) -> str:
    """Empty when the port is free, else what holds it."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            holder = output("ss", "-Hltnp", f"sport = :{port}").partition("users:")[2]
            return holder.strip("()") or f"{error.strerror}"
    return ""


def images_problem(folder: str) -> str:
    """Empty when the containers' user can list the folder and read a file in it, else what is wrong."""
    if not folder:
        return ""
    if not Path(folder).is_absolute():
        return f"{folder} is not an absolute path"
    if not Path(folder).is_dir():
        return f"{folder} is not a folder"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(SERVICE_UID)
            os.setuid(SERVICE_UID)
            found = next(Path(folder).iterdir(), None)
            if found and found.is_file():
                with found.open("rb") as image:
                    image.read(1)
            os.write(writer, b"ok" if found else f"{folder} is empty".encode())
        except OSError as error:
            os.write(writer, f"{error.strerror}: {error.filename or folder}".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read().decode()
    return "" if said == "ok" else said


def main() -> None:
    settings = json.loads(os.environ["PREFLIGHT_SETTINGS"])
    docker = engine()
    remembered = deployed_subnet(settings["config_dir"]) if docker["installed"] and not docker["version"] else ""
    running = set(running_containers()) if docker["version"] else set()
    own = ours(running, settings["containers"]) or set(settings["containers"] if remembered else [])
    published = published_ports(own)
    facts = {
        "uid": os.getuid(),
        "sudo_user": os.environ.get("SUDO_USER", ""),
        "os": os_release(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "memory_bytes": memory_bytes(),
        "free_bytes": free_bytes(settings["data_dir"], str(docker.get("root", DOCKER_ROOT))),
        "init": init_system(),
        "engine": {
            **docker,
            "other_containers": sorted(running - ours(running, settings["all_containers"])),
            "daemon_options": daemon_options(),
        },
        "own_containers": sorted(own),
        "own_images": output("docker", "image", "ls", "--quiet", "--filter", "reference=samstudio/*").split(),
        "network_subnet": remembered or network_subnet(settings["network"]),
        "routes": routes(),
        "ports": {
            port: "" if int(port) in published else listener(address, int(port))
            for port, address in settings["ports"].items()
        },
        "files": {name: Path(name).stat().st_size for name in settings["files"] if Path(name).is_file()},
        "images_problem": images_problem(settings["images"]),
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
