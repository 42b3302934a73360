"""Ansible filters over samstudio.gpu: a host's probe output in, a plan as plain data out.

Each plan has `lines` beside its own fields: what to print.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError  # type: ignore[import-untyped]

# Any ansible-playbook works, also one whose Python does not have samstudio installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from samstudio.gpu import (
    DriverSettings,
    GpuHostFacts,
    ToolkitSettings,
    TorchSettings,
    container_options,
    describe,
    driver_plan,
    outputs_from_json,
    parse,
    plain,
    toolkit_plan,
    torch_plan,
)
from samstudio.gpu.report import Plan


def _facts(probes: str) -> GpuHostFacts:
    try:
        return parse(outputs_from_json(probes))
    except ValueError as error:
        raise AnsibleFilterError(f"GPU probes: {error}") from error


def _answer(plan: Plan) -> dict[str, Any]:
    return {**plain(plan), "lines": describe(plan)}


def gpu_facts(probes: str) -> dict[str, Any]:
    """Everything that was understood from the probes."""
    facts = _facts(probes)
    return {**plain(facts), "has_nvidia": facts.has_nvidia}


def nvidia_driver_plan(probes: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What to do about the driver; settings: branch, source, repository, key."""
    return _answer(driver_plan(_facts(probes), DriverSettings(**_strings(settings))))


def nvidia_toolkit_plan(probes: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What to do about the container toolkit; settings: version, repository, key."""
    return _answer(toolkit_plan(_facts(probes), ToolkitSettings(**_strings(settings))))


def gpu_torch_plan(probes: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Torch build and workers; settings: gpus (UUIDs, empty for all), model_size (auto or a size)."""
    facts = _facts(probes)
    chosen = TorchSettings(tuple(map(str, settings.get("gpus", []))), str(settings.get("model_size", "auto")))
    return _answer(torch_plan(facts, chosen, driver_plan(facts)))


def gpu_container_options(mode: str, device: str) -> dict[str, Any]:
    """Arguments of community.docker.docker_container for one device, in the mode of the toolkit's plan."""
    try:
        return container_options(mode, device)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def _strings(settings: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in settings.items()}


class FilterModule:
    """Filters for roles that prepare GPU hosts."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "samstudio_gpu_facts": gpu_facts,
            "samstudio_nvidia_driver_plan": nvidia_driver_plan,
            "samstudio_nvidia_toolkit_plan": nvidia_toolkit_plan,
            "samstudio_gpu_torch_plan": gpu_torch_plan,
            "samstudio_gpu_container_options": gpu_container_options,
        }
