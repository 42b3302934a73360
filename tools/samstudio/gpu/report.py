"""Plans as plain data (for Ansible, JSON) and as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from .driver_plan import DriverPlan, Reboot
from .toolkit_plan import ToolkitPlan
from .torch_plan import TorchPlan

Plan = DriverPlan | ToolkitPlan | TorchPlan


def plain(value: Any) -> Any:
    """Dataclasses, enumerations and tuples become dictionaries, strings and lists; the rest stays."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def describe(plan: Plan) -> list[str]:
    """What will be done and why, then what the admin has to do, if anything, then the packages."""
    lines = [f"{_TITLES[type(plan)]}: {plan.action.value}. {plan.reason}"]
    if plan.advice:
        lines.append(f"  To know: {plan.advice}")
    if isinstance(plan, DriverPlan) and plan.packages:
        lines.append(f"  Packages: {' '.join((*plan.packages.first, *plan.packages.packages))}")
        if plan.packages.repository:
            lines.append(f"  Repository: {plan.packages.repository.uri}")
    if isinstance(plan, DriverPlan) and plan.reboot is not Reboot.NONE:
        lines.append(
            "  The host is rebooted." if plan.reboot is Reboot.NOW else "  No GPU until somebody reboots the host."
        )
    if isinstance(plan, ToolkitPlan) and plan.action.value == "install":
        lines.append(f"  Packages: {' '.join(plan.packages)}")
    if isinstance(plan, TorchPlan):
        lines += [f"  Worker on {w.device}: {w.name}, {w.memory_mib} MiB, model {w.model_size}" for w in plan.workers]
    return lines


_TITLES: dict[type, str] = {DriverPlan: "NVIDIA driver", ToolkitPlan: "Container toolkit", TorchPlan: "Backend"}
