"""A host as preflight finds it, the settings of a deploy, and what is decided about them."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from samstudio.preflight import backend, plan

UNREACHABLE = "Name or service not known"
FACTS: dict[str, Any] = {
    "uid": 0,
    "sudo_user": "",
    "os": {"id": "debian", "like": "", "version": "12", "codename": "bookworm", "name": "Debian GNU/Linux 12"},
    "arch": "x86_64",
    "python": "3.11.2",
    "memory_bytes": 16 * 2**30,
    "own_images": [],
    "free_bytes": {"/var/lib/samstudio": 100 * 2**30},
    "engine": {
        "installed": False,
        "version": "",
        "error": "no docker command",
        "kind": "",
        "live_restore": False,
        "packages": [],
        "rootless": [],
        "kubelet": False,
        "other_containers": [],
        "daemon_options": {},
    },
    "own_containers": [],
    "network_subnet": "",
    "routes": ["192.0.2.0/24 eth0"],
    "ports": {"8080": ""},
    "unreachable": {"docker_repository": "", "registry": "", "pytorch_index": "", "checkpoint": ""},
    "files": {},
    "pip": {
        "index_url": "",
        "extra_index_url": [],
        "local_index_url": [],
        "find_links": [],
        "wheel_folders": [],
        "trusted_host": [],
        "no_index": False,
    },
    "debian_mirror": {"main": "http://mirror.example.com/debian", "security": ""},
    "apt_sources": [{"address": "http://mirror.example.com/debian", "suite": "bookworm", "component": "main"}],
    "ca_certificates": [],
    "proxies": {},
    "images_problem": "",
}
SETTINGS: dict[str, Any] = {
    "bundle": {},
    "project_digest": "0123456789ab",
    "database": "sqlite",
    "model_asked": "auto",
    "label_studio": True,
    "backend": True,
    "ports": {
        "8080": {
            "listen": "127.0.0.1",
            "who": "Label Studio",
            "instead": "deploy with -e label_studio_port=8081",
        }
    },
    "subnet": "172.30.9.0/24",
    "images": "",
    "docker_engine_source": "auto",
    "docker_engine_replace": False,
    "docker_engine_restart": False,
    "daemon_options": {},
    "registry": "docker.io",
    "reconsider": False,
    "today": "2026-11-24",
    "device_asked": "auto",
    "gpus_asked": "",
    "torch_index_url": "",
    "torch_index": "https://download.example.com",
    "gpu": {
        "device": "cpu",
        "torch": "2.13.0",
        "index": "cpu",
        "found": "no usable NVIDIA GPU",
        "reason": "no NVIDIA hardware",
        "fix": "",
        "workers": [],
        "rows": [],
    },
    "model": "tiny",
    "checkpoint_file": "",
    "checkpoint_path": "/var/lib/samstudio/models/sam2.1_hiera_tiny.pt",
    "checkpoint_bytes": 156_008_466,
    "checkpoint_url": "https://weights.example.com/sam2.1_hiera_tiny.pt",
    "demo_fallback": False,
}
GPU: dict[str, Any] = {
    "device": "cuda",
    "torch": "2.13.0",
    "index": "cu126",
    "found": "T4, A40",
    "reason": "driver 535",
    "fix": "",
    "rows": [],
    "workers": [
        {"device": "GPU-1", "name": "T4", "memory_mib": 15360, "model_size": "large"},
        {"device": "GPU-2", "name": "A40", "memory_mib": 46068, "model_size": "large"},
    ],
}
OFFLINE = {"unreachable": dict.fromkeys(FACTS["unreachable"], UNREACHABLE)}


def decide(
    facts: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    remembered: dict[str, Any] | None = None,
) -> dict[str, Any]:
    asked = {**SETTINGS, **(settings or {})}
    if remembered and "model" not in (settings or {}):
        wish = {"asked": asked["model_asked"], "device": asked["device_asked"], "fitting": "tiny", "weights": ["", ""]}
        asked["model"] = backend.wanted_model({**wish, "reconsider": asked["reconsider"]}, remembered)
    asked["gpus"] = backend.chosen_gpus(asked, remembered or {}) if asked["backend"] else []
    return plan.decide({**copy.deepcopy(FACTS), **(facts or {})}, asked, remembered or {})


def engine(**found: Any) -> dict[str, Any]:
    return {"engine": {**FACTS["engine"], **found}}


def told(program: ModuleType, settings: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """What one of preflight's programs for the host finds out here, run as it is there."""
    done = subprocess.run(
        [sys.executable, str(program.__file__)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**environment, "PREFLIGHT_SETTINGS": json.dumps(settings)},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
