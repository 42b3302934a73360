"""The rows about the machine itself: system, memory, disk, ports, addresses, the image folder."""

from __future__ import annotations

import ipaddress
from typing import Any

from .rows import Plan, gib

MINIMUM_MEMORY = 6 * 2**30
# Of each backend beyond the first: its process, and the embeddings that it keeps in memory.
MINIMUM_BACKEND_MEMORY = 4 * 2**30
# Where data and the engine's images share a filesystem, of each where they do not, and once a deploy has begun.
MINIMUM_FREE = 12 * 2**30
MINIMUM_FREE_APART = 10 * 2**30
MINIMUM_FREE_BEGUN = 6 * 2**30
MINIMUM_FREE_DEPLOYED = 2 * 2**30
# On a host with the database alone.
MINIMUM_DATABASE_MEMORY = 2**30
MINIMUM_DATABASE_FREE = 4 * 2**30
APT_SYSTEMS = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04", "26.04")}
MINIMUM_PYTHON = (3, 9)


def host(plan: Plan, facts: dict[str, Any]) -> None:
    system = facts["os"]
    known = system["id"] in APT_SYSTEMS
    supported = known and system["version"] in APT_SYSTEMS[system["id"]]
    plan.add(
        "operating system",
        system["name"],
        "as it is",
        "supported" if supported else "not among Debian 12/13 and Ubuntu 22.04/24.04/26.04",
        "" if known or facts["engine"]["version"] else "Install a Docker engine yourself, then run again.",
    )
    version = tuple(int(part) for part in facts["python"].split(".")[:2])
    plan.add(
        "Python",
        facts["python"],
        "as it is",
        "3.9 or later is needed",
        "" if version >= MINIMUM_PYTHON else "Install Python 3.9 or later and set ansible_python_interpreter to it.",
    )
    by_sudo = f", {facts['sudo_user']} by sudo" if facts["sudo_user"] else ""
    plan.add(
        "user",
        f"uid {facts['uid']}{by_sudo}",
        "root",
        f"roles install packages and talk to the engine{'; where sudo wants a password, once' if by_sudo else ''}",
        ""
        if facts["uid"] == 0
        else "Set ansible_become: true in the inventory (sudo wants a password: --ask-become-pass), or run as root.",
    )


def resources(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    database_alone = not (settings["label_studio"] or settings["backend"])
    backends = len(settings["gpus"])
    further = max(backends - 1, 0)
    memory = MINIMUM_DATABASE_MEMORY if database_alone else MINIMUM_MEMORY + further * MINIMUM_BACKEND_MEMORY
    fix = "Name fewer GPUs in sam2_backend_gpus." if further else "Use a host with more memory."
    _minimum(plan, "memory", facts["memory_bytes"], memory, fix, f" for {backends} backends" if further else "")
    disks = facts["free_bytes"]
    least = MINIMUM_FREE_APART if len(disks) > 1 else MINIMUM_FREE
    if facts["own_containers"]:
        least = MINIMUM_FREE_DEPLOYED
    elif database_alone:
        least = MINIMUM_DATABASE_FREE
    elif facts["own_images"]:
        least = MINIMUM_FREE_BEGUN
    for path, free in disks.items():
        fix = f"Free some space where {path} is, or set samstudio_data_dir elsewhere."
        _minimum(plan, "free disk", free, least, fix, f" for {path}")


def _minimum(plan: Plan, what: str, found: int, least: int, fix: str, where: str = "") -> None:
    plan.add(what, gib(found) + where, "as it is", f"{gib(least)} are needed", "" if found >= least else fix)


def network(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    for port, wanted in settings["ports"].items():
        holder = facts["ports"][port]
        plan.add(
            f"port {port}",
            holder or ("ours" if facts["own_containers"] else "free"),
            f"{wanted['listen']}:{port}",
            f"{wanted['who']} listens here",
            f"Stop it, or {wanted['instead']}." if holder else "",
        )
    subnet = ipaddress.ip_network(settings["subnet"])
    taken = ""
    if facts["network_subnet"] != settings["subnet"]:
        for route in facts["routes"]:
            target, _, device = route.partition(" ")
            if subnet.overlaps(ipaddress.ip_network(target, strict=False)):
                taken = f"{target} is routed to {device}"
    plan.add(
        "private network",
        taken or ("ours" if facts["network_subnet"] else "free"),
        settings["subnet"],
        "the two containers meet here",
        "Choose another one with -e samstudio_network_subnet=172.31.77.0/24." if taken else "",
    )


def image_folder(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    if settings["images"]:
        problem = facts["images_problem"]
        plan.add(
            "image folder",
            problem or "readable",
            settings["images"],
            "both containers read it as an ordinary user",
            f"Run: chmod -R o+rX {settings['images']}" if problem else "",
        )
