"""GPU hosts: what was found on one, and what to do about driver, container toolkit and torch build.

Pure decisions; only `collect` touches the host.
"""

from __future__ import annotations

from .collect import PROBES, collect
from .driver_plan import Action, DriverPlan, DriverSettings, driver_plan
from .facts import GpuHostFacts, Output, outputs_from_json, parse
from .report import describe, plain
from .selection import ALL, asked_gpus, places
from .toolkit_plan import ToolkitPlan, ToolkitSettings, container_mode, container_options, toolkit_plan
from .torch_plan import TorchPlan, TorchSettings, Worker, torch_plan
from .verdict import GpuVerdict, VerdictSettings, gpu_verdict

__all__ = [
    "ALL",
    "PROBES",
    "Action",
    "DriverPlan",
    "DriverSettings",
    "GpuHostFacts",
    "GpuVerdict",
    "Output",
    "ToolkitPlan",
    "ToolkitSettings",
    "TorchPlan",
    "TorchSettings",
    "VerdictSettings",
    "Worker",
    "asked_gpus",
    "collect",
    "container_mode",
    "container_options",
    "describe",
    "driver_plan",
    "gpu_verdict",
    "outputs_from_json",
    "parse",
    "places",
    "plain",
    "toolkit_plan",
    "torch_plan",
]
