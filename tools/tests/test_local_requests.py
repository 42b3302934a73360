"""Requests to this host's own services must not go to the proxy that its environment names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"


def tasks_with(module: str, node: Any) -> list[dict[str, Any]]:
    """Every task of a module, at whatever depth of blocks."""
    if isinstance(node, list):
        return [found for item in node for found in tasks_with(module, item)]
    if not isinstance(node, dict):
        return []
    inside = [found for key in ("block", "rescue", "always") for found in tasks_with(module, node.get(key))]
    return ([node] if module in node else []) + inside


REQUESTS = [
    pytest.param(task["ansible.builtin.uri"], id=f"{path.parts[-3]}: {task['name']}")
    for path in sorted(ROLES.glob("*/tasks/*.yml"))
    for task in tasks_with("ansible.builtin.uri", yaml.safe_load(path.read_text()))
]


def test_there_are_such_requests() -> None:
    assert len(REQUESTS) >= 2


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_to_a_service_of_the_host_goes_past_its_proxy(request_: dict[str, Any]) -> None:
    assert request_.get("use_proxy") is False
