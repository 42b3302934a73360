#!/usr/bin/env python3
"""What this host has and what it can reach, as one JSON object on stdout. Changes nothing.

Runs on the host itself, as root, with nothing but the standard library (Python 3.9 or later): Ansible sends this one
file. Settings arrive as JSON in the environment variable PREFLIGHT_SETTINGS:

    ports: {port: address}  what the deployment wants to listen on
    subnet: str             the private network's subnet
    network: str            the private network's name
    containers: [str]       our own containers (a port or subnet that they hold is ours)
    config_dir: str         where deployment.yml is, if there was a deploy
    data_dir: str           where data will live (disk space is measured there and where the engine keeps images)
    images: str             the user's image folder, or ""
    urls: {name: url}       addresses to try, besides the host's own pip index and Debian mirror; any answer that is
                            not a refusal or a server error counts as reachable; nothing is tried if there are none
    files: [str]            files whose size is wanted
    timeout: float          seconds for one address
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CA_FOLDERS = ("/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors")
PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
DOCKER_ROOT = "/var/lib/docker"
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
        for line in Path("/etc/os-release").read_text().splitlines():
            key, _, value = line.partition("=")
            pairs[key] = value.strip('"')
    return {
        "id": pairs.get("ID", ""),
        "like": pairs.get("ID_LIKE", ""),
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


def engine() -> dict[str, object]:
    """The Docker engine: its version and root folder, or why it does not answer."""
    if not shutil.which("docker"):
        return {"installed": shutil.which("dockerd") is not None, "version": "", "error": "no docker command"}
    done = run("docker", "info", "--format", "{{.ServerVersion}}|{{.DockerRootDir}}|{{.Driver}}")
    if done is None or done.returncode:
        error = "docker info timed out" if done is None else done.stderr.strip().splitlines()[-1]
        return {"installed": shutil.which("dockerd") is not None, "version": "", "error": error}
    version, root, driver = done.stdout.strip().split("|")
    return {"installed": True, "version": version, "root": root, "driver": driver, "error": ""}


def running_containers() -> list[str]:
    return output("docker", "ps", "--format", "{{.Names}}").split()


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


def reach(url: str, timeout: float) -> str:
    """Empty when the address answered with anything but a server error, else the reason in one line."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "samstudio-preflight"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in (401, 403, 404, 405) and not _blocked(error) else f"HTTP {error.code}"
    except (urllib.error.URLError, ssl.SSLError, OSError, http.client.HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def _blocked(error: urllib.error.HTTPError) -> bool:
    """A registry answers 401 with its own header; a proxy's refusal is a 403 without one."""
    return error.code == 403 and "Docker-Distribution-Api-Version" not in error.headers


def listing_digest(folder: str) -> str:
    """Twelve hex digits over the names and sizes of a folder's files."""
    listing = sorted(f"{path.name} {path.stat().st_size}" for path in Path(folder).iterdir())
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:12]


def pip_settings() -> dict[str, object]:
    """The index settings that pip on this host would use, files first, then the environment, as pip orders them."""
    settings: dict[str, str] = {}
    for name in PIP_FILES:
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error, OSError):
            parser.read(Path(name).expanduser())
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update(parser.items(section))
    for key, value in os.environ.items():
        if key.startswith("PIP_"):
            settings[key[4:].lower().replace("_", "-")] = value

    def words(key: str) -> list[str]:
        return settings.get(key, "").split()

    folders = [item.removeprefix("file://") for item in words("find-links") if item.startswith(("/", "file:/"))]
    return {
        "index_url": settings.get("index-url", ""),
        "extra_index_url": [item for item in words("extra-index-url") if not item.startswith("file:")],
        "local_index_url": [item for item in words("extra-index-url") if item.startswith("file:")],
        "find_links": [item for item in words("find-links") if not item.startswith(("/", "file:/"))],
        "wheel_folders": [{"path": item, "digest": listing_digest(item)} for item in folders if Path(item).is_dir()],
        "trusted_host": words("trusted-host"),
        "no_index": settings.get("no-index", "").lower() in ("1", "true", "yes", "on"),
    }


def debian_mirror() -> dict[str, str]:
    """The Debian mirrors of this host, from its own sources: {main, security}; empty where there is none."""
    mirrors = {"main": "", "security": ""}
    listing = output("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages")
    for line in listing.splitlines():
        uri, _, origin = line.partition(" ")
        if origin.startswith("Debian"):
            kind = "security" if "Debian-Security" in origin else "main"
            mirrors[kind] = mirrors[kind] or uri.rstrip("/")
    return mirrors


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
    own = set(settings["containers"]) & set(running_containers()) or set(settings["containers"] if remembered else [])
    published = published_ports(own)
    pip, mirror = pip_settings(), debian_mirror()
    own_sources = {"pip_index": pip["index_url"], "debian_mirror": mirror["main"]} if settings["urls"] else {}
    urls = settings["urls"] | {name: url for name, url in own_sources.items() if str(url).startswith("http")}
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = pool.map(lambda item: (item[0], reach(item[1], settings["timeout"])), urls.items())
        unreachable = dict(answers)
    facts = {
        "uid": os.getuid(),
        "os": os_release(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": memory_bytes(),
        "free_bytes": free_bytes(settings["data_dir"], str(docker.get("root", DOCKER_ROOT))),
        "init": init_system(),
        "engine": docker,
        "own_containers": sorted(own),
        "own_images": output("docker", "image", "ls", "--quiet", "--filter", "reference=samstudio/*").split(),
        "network_subnet": remembered or network_subnet(settings["network"]),
        "routes": routes(),
        "ports": {
            port: "" if int(port) in published else listener(address, int(port))
            for port, address in settings["ports"].items()
        },
        "unreachable": unreachable,
        "files": {name: Path(name).stat().st_size for name in settings["files"] if Path(name).is_file()},
        "pip": pip,
        "debian_mirror": mirror,
        "ca_certificates": sorted(str(path) for folder in CA_FOLDERS for path in Path(folder).glob("*.crt")),
        "proxies": {
            key: os.environ[key]
            for key in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
            if os.environ.get(key)
        },
        "images_problem": images_problem(settings["images"]),
        "nvidia_smi": output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"),
        "nvidia_pci": [
            device.name
            for device in Path("/sys/bus/pci/devices").glob("*")
            if (device / "vendor").is_file() and (device / "vendor").read_text().strip() == "0x10de"
        ],
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
