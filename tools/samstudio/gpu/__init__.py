"""GPU hosts: what was found on one, and what to do about driver, container toolkit and torch build.

Pure decisions, no I/O.
"""

from __future__ import annotations

from .driver_plan import Action, DriverPlan, DriverSettings, driver_plan
from .facts import GpuHostFacts, Output, parse
from .probes import PROBES
from .report import describe, plain
from .toolkit_plan import ToolkitPlan, ToolkitSettings, container_options, toolkit_plan
from .torch_plan import TorchPlan, TorchSettings, Worker, torch_plan

__all__ = [
    "PROBES",
    "Action",
    "DriverPlan",
    "DriverSettings",
    "GpuHostFacts",
    "Output",
    "ToolkitPlan",
    "ToolkitSettings",
    "TorchPlan",
    "TorchSettings",
    "Worker",
    "container_options",
    "describe",
    "driver_plan",
    "parse",
    "plain",
    "toolkit_plan",
    "torch_plan",
]
