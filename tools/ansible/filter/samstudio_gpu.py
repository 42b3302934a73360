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
    ALL,
    DriverSettings,
    GpuHostFacts,
    ToolkitSettings,
    TorchSettings,
    VerdictSettings,
    asked_gpus,
    container_mode,
    container_options,
    describe,
    driver_plan,
    gpu_verdict,
    outputs_from_json,
    parse,
    plain,
    toolkit_plan,
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


def nvidia_driver_plan(probes: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What to do about the driver; settings: those of DriverSettings, reboot unset, true or false."""
    return _answer(driver_plan(_facts(probes), _driver(settings)))


def nvidia_toolkit_plan(probes: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What to do about the container toolkit; settings: version, repository, key."""
    return _answer(toolkit_plan(_facts(probes), ToolkitSettings(**_strings(settings))))


def host_gpu_verdict(probes: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of GpuVerdict; settings: device, driver (as for the driver's plan), gpus (as set), model_size."""
    asked = asked_gpus(settings["gpus"])
    torch = TorchSettings(() if asked == ALL else asked, str(settings["model_size"]))
    wishes = VerdictSettings(str(settings["device"]), _driver(settings["driver"]), torch)
    answer: dict[str, Any] = plain(gpu_verdict(_facts(probes), wishes))
    return answer


def gpus_problem(asked: Any) -> str:
    """What is wrong with sam2_backend_gpus; empty where nothing is."""
    try:
        asked_gpus(asked)
    except ValueError as error:
        return str(error)
    return ""


def gpu_container_mode(probes: str) -> str:
    """How a container of this host gets its GPU: cdi, runtime, or nothing."""
    return container_mode(_facts(probes))


def gpu_container_options(mode: str, device: str) -> dict[str, Any]:
    """Arguments of community.docker.docker_container for one device, in the mode of the toolkit's plan."""
    try:
        return container_options(mode, device)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def _driver(settings: Mapping[str, Any]) -> DriverSettings:
    switches = {name: _switch(settings[name]) for name in ("reboot", "local", "despite_desktop")}
    words = {name: str(value) for name, value in settings.items() if name not in switches}
    return DriverSettings(
        reboot=switches["reboot"],
        local=bool(switches["local"]),
        despite_desktop=bool(switches["despite_desktop"]),
        **words,
    )


def _switch(value: Any) -> bool | None:
    """True, False or not said, as inventories and ``-e name=false`` spell them."""
    if value is None or isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    if word == "":
        return None
    raise AnsibleFilterError(f"expected true, false or nothing, found {value!r}")


def _strings(settings: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in settings.items()}


class FilterModule:
    """Filters for roles that prepare GPU hosts."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "samstudio_gpu_facts": gpu_facts,
            "samstudio_nvidia_driver_plan": nvidia_driver_plan,
            "samstudio_nvidia_toolkit_plan": nvidia_toolkit_plan,
            "samstudio_gpu_verdict": host_gpu_verdict,
            "samstudio_gpus_problem": gpus_problem,
            "samstudio_gpu_container_mode": gpu_container_mode,
            "samstudio_gpu_container_options": gpu_container_options,
        }
