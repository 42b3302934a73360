"""Ansible filters about one host: what preflight decided, private addresses, source digests."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "backend")]

from ansible.errors import AnsibleFilterError  # noqa: E402
from sam2_backend.model import checkpoints  # noqa: E402
from samstudio import trees  # noqa: E402
from samstudio.preflight import backend, plan, rows  # noqa: E402


def nth_address(subnet: str, number: int) -> str:
    """The number-th address of a subnet: nth_address('172.30.9.0/24', 10) is 172.30.9.10."""
    return str(ipaddress.ip_network(subnet)[number])


def tree_digest(folder: str) -> str:
    """Twelve hex digits over a source tree that images or tools are made from."""
    return trees.digest(Path(folder))


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
            "project_digest": project_digest,
            "preflight_plan": plan.decide,
            "preflight_table": rows.table,
            "preflight_model": backend.wanted_model,
            "sam2_checkpoint": checkpoint,
        }
