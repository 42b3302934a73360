"""Ansible filters about one host: what preflight decided, private addresses, source digests."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "backend")]

from ansible.errors import AnsibleFilterError  # noqa: E402
from sam2_backend.model import checkpoints  # noqa: E402
from samstudio import fleet, trees  # noqa: E402
from samstudio.preflight import backend, plan, rows  # noqa: E402


def nth_address(subnet: str, number: int) -> str:
    """The number-th address of a subnet: nth_address('172.30.9.0/24', 10) is 172.30.9.10."""
    return str(ipaddress.ip_network(subnet)[number])


def tree_digest(folder: str) -> str:
    """Twelve hex digits over a source tree that images or tools are made from."""
    return trees.digest(Path(folder))


def image_digest(inputs: dict[str, str], uses: list[str], *own: str) -> str:
    """Twelve hex digits over what an image is made of: the inputs that it uses, by name, and things of its own."""
    parts = [inputs[name] for name in uses] + list(own)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def without_passwords(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings whose addresses hold no passwords, so that a new password is no other image."""
    plain: dict[str, Any] = json.loads(rows.masked(json.dumps(settings)))
    return plain


def project_digest(folder: str) -> str:
    """Twelve hex digits over the project's own code."""
    return trees.project_digest(Path(folder))


def checkpoint(alias: str, mirror: str = "") -> dict[str, Any]:
    """File name, bytes, URL and config name of an official checkpoint by its alias (tiny, small, base_plus, large)."""
    known = checkpoints.official(alias)
    if known is None:
        aliases = ", ".join(entry.alias for entry in checkpoints.CHECKPOINTS)
        raise AnsibleFilterError(f"{alias} is no official SAM 2 model; expected one of {aliases}")
    return {"file": known.file, "bytes": known.size, "url": known.url(mirror), "config": known.config}


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "nth_address": nth_address,
            "tree_digest": tree_digest,
            "image_digest": image_digest,
            "without_passwords": without_passwords,
            "project_digest": project_digest,
            "preflight_plan": plan.decide,
            "preflight_table": rows.table,
            "preflight_model": backend.wanted_model,
            "preflight_gpus": backend.chosen_gpus,
            "preflight_fitting": backend.fitting,
            "sam2_backends": fleet.backends_of_host,
            "sam2_backends_of_fleet": fleet.backends_of_fleet,
            "sam2_ids_on_ring": fleet.ids_on_ring,
            "sam2_checkpoint": checkpoint,
        }
