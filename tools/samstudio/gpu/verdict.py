"""One verdict about the GPU of a host, computed before anything changes; preflight and the roles take the same one."""

from __future__ import annotations

from dataclasses import dataclass, field

from .compatibility import CPU_TORCH
from .driver_plan import Action, DriverPlan, DriverSettings, Reboot, driver_plan
from .facts import GpuHostFacts
from .toolkit_plan import container_mode
from .torch_plan import TorchPlan, TorchSettings, Worker, torch_plan

_ON_THE_CPU = "Or compute on the CPU: deploy with -e sam2_backend_device=cpu."


@dataclass(frozen=True)
class VerdictSettings:
    """``device``: auto, cpu or cuda, as the admin wants it."""

    device: str = "auto"
    driver: DriverSettings = field(default_factory=DriverSettings)
    torch: TorchSettings = field(default_factory=TorchSettings)


@dataclass(frozen=True)
class Row:
    """A line of preflight's table. ``fix`` is empty unless it stops the deploy."""

    what: str
    found: str
    use: str
    why: str
    fix: str = ""


@dataclass(frozen=True)
class GpuVerdict:
    """What the backend of this host will compute on, and every reason to stop first.

    ``device`` is cuda or cpu; ``torch`` and ``index`` name the build for it. ``workers`` is empty on the CPU and where
    the driver only comes with this deploy. ``mode`` (cdi, runtime, or nothing yet) is how a container gets the GPU.
    ``found``, ``reason`` and ``fix`` are the table's row about the GPU, ``rows`` those beside it; any ``fix`` stops the
    deploy.
    """

    device: str
    torch: str
    index: str
    workers: tuple[Worker, ...]
    mode: str
    found: str
    reason: str
    fix: str
    rows: tuple[Row, ...]


def gpu_verdict(facts: GpuHostFacts, settings: VerdictSettings | None = None) -> GpuVerdict:
    """Decide what the host computes on. Whatever the role nvidia_driver would stop on stops here."""
    settings = settings or VerdictSettings()
    rows = _kernel(facts)
    if settings.device == "cpu":
        found = ", ".join(gpu.name for gpu in facts.smi.gpus) or ", ".join(gpu.label for gpu in facts.gpus_on_bus)
        return GpuVerdict("cpu", CPU_TORCH, "cpu", (), "", found or "none", "the CPU is asked for", "", rows)
    driver = driver_plan(facts, settings.driver)
    plan = torch_plan(facts, settings.torch, driver)
    return GpuVerdict(
        device=plan.device or "cpu",
        torch=plan.torch,
        index=plan.index,
        workers=plan.workers,
        mode=container_mode(facts) if plan.device == "cuda" else "",
        found=_found(facts, plan),
        reason=plan.reason,
        fix=_fix(plan, driver, settings.device),
        rows=rows + _driver(driver) + tuple(Row("GPU left out", "-", "-", said) for said in plan.left_out),
    )


def _found(facts: GpuHostFacts, plan: TorchPlan) -> str:
    names = [worker.name for worker in plan.workers] or [gpu.name for gpu in facts.smi.gpus]
    return ", ".join(names or [gpu.label for gpu in facts.gpus_on_bus]) or "no usable NVIDIA GPU"


def _fix(plan: TorchPlan, driver: DriverPlan, wanted: str) -> str:
    """Why the GPU's own row stops the deploy; a stop of the driver has a row of its own."""
    if driver.action is Action.STOP:
        return ""
    if plan.action is Action.STOP:
        return plan.advice or _ON_THE_CPU
    if wanted == "cuda" and plan.device != "cuda":
        return f"{plan.advice} {_ON_THE_CPU}".strip()
    return ""


def _driver(driver: DriverPlan) -> tuple[Row, ...]:
    if driver.action in (Action.NONE, Action.SKIP):
        return ()
    if driver.action is Action.STOP:
        return (Row("NVIDIA driver", "none that works", "-", driver.reason, f"{driver.advice} {_ON_THE_CPU}"),)
    use = driver.action.value
    if driver.action is Action.INSTALL and driver.reboot is not Reboot.NONE:
        use = "install, then reboot" if driver.reboot is Reboot.NOW else "install, reboot later"
    elif driver.reboot is Reboot.LATER:
        use = "reboot later"
    return (Row("NVIDIA driver", "none that works", use, driver.reason),)


def _kernel(facts: GpuHostFacts) -> tuple[Row, ...]:
    if not facts.kernel_modules_gone:
        return ()
    why = "its modules are no longer on the disk, so that neither the engine nor a driver can load one"
    return (
        Row(
            "kernel", f"{facts.kernel} running", "-", why, "Reboot (systemctl reboot), then run the same command again."
        ),
    )
