"""Ansible filters about one host: what preflight found and decided, addresses on the private network, source digests."""

from __future__ import annotations

import hashlib
import ipaddress
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "backend")]

from sam2_backend import checkpoints
from samstudio.preflight import plan


def nth_address(subnet: str, number: int) -> str:
    """The number-th address of a subnet: nth_address('172.30.9.0/24', 10) is 172.30.9.10."""
    return str(ipaddress.ip_network(subnet)[number])


def tree_digest(folder: str) -> str:
    """Twelve hex digits over names and contents of a source tree, compiled and hidden files left out."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in relative.parts):
            digest.update(f"{relative}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:12]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "nth_address": nth_address,
            "tree_digest": tree_digest,
            "preflight_plan": plan.decide,
            "preflight_table": plan.table,
            "sam2_checkpoint": checkpoint,
        }


def checkpoint(model: str, mirror: str = "") -> dict[str, Any]:
    """File name, bytes and URL of an official checkpoint by its short name (tiny, small, base_plus, large)."""
    entry = checkpoints.find(model)
    return {"file": entry.file, "bytes": entry.bytes, "url": entry.url, "config": entry.config}
