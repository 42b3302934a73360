"""Which torch build serves a host's GPUs, which GPUs get a worker, and which model size fits each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .compatibility import (
    CPU_TORCH,
    MODEL_SIZES,
    OLDEST_USABLE_DRIVER,
    TORCH_BUILDS,
    Capability,
    TorchBuild,
    chip_of,
    model_size_for,
    version,
)
from .driver_plan import Action, DriverPlan, Reboot
from .facts import GpuHostFacts


@dataclass(frozen=True)
class TorchSettings:
    """``gpus``: indexes or UUIDs of GPUs, or UUIDs of MIG devices, to use, empty for all; ``model_size``: auto or a
    SAM 2.1 size. A GPU that is sliced means all its MIG devices."""

    gpus: tuple[str, ...] = ()
    model_size: str = "auto"


@dataclass(frozen=True)
class Worker:
    """One backend container: the device it gets (``GPU-…``, ``MIG-…``, on WSL2 ``all``) and the model it loads."""

    device: str
    name: str
    memory_mib: int
    model_size: str


@dataclass(frozen=True)
class TorchPlan:
    """``index`` is the last part of the address of PyTorch's wheel index (cu130, cu126, cu128, cpu).

    ``workers`` is empty for the CPU, and for a GPU whose driver is still to be installed. ``left_out``: a sentence
    about each GPU that gets none.
    """

    action: Action
    device: str
    torch: str
    index: str
    reason: str
    advice: str = ""
    workers: tuple[Worker, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Unit:
    """A GPU or a MIG device, as far as the choice is concerned; ``card``: index and UUID of its GPU."""

    card: tuple[str, ...]
    uuid: str
    name: str
    capability: Capability
    memory_mib: int

    def is_named(self, gpu: str) -> bool:
        """Whether a setting that names this GPU, or its slice, means this one."""
        return gpu in (self.uuid, *self.card)


def torch_plan(
    facts: GpuHostFacts, settings: TorchSettings | None = None, driver: DriverPlan | None = None
) -> TorchPlan:
    """Choose the build that serves the most GPU memory of this host; the CPU where no GPU can be used.

    ``driver`` is the plan for a driver that is not there yet: the answer is then what will hold once it is.
    """
    settings = settings or TorchSettings()
    if settings.model_size not in ("auto", *(size.name for size in MODEL_SIZES)):
        sizes = ", ".join(size.name for size in MODEL_SIZES)
        return _stop(f"Model size {settings.model_size!r} does not exist. Expected: auto, {sizes}.", "")
    if not facts.smi.works:
        return _without_driver(facts, settings, driver)
    return _with_driver(facts, facts.smi.driver_version or "", settings)


def _without_driver(facts: GpuHostFacts, settings: TorchSettings, driver: DriverPlan | None) -> TorchPlan:
    on_bus = len(facts.gpus_on_bus)
    unknown = [gpu for gpu in settings.gpus if not on_bus or (gpu.isdigit() and int(gpu) >= on_bus)]
    if unknown:
        return _stop(f"This host has no GPU {', '.join(unknown)}. It has {on_bus} on its bus, counted from 0.", _LIST)
    coming = _coming_driver(facts, driver)
    if coming is None:
        reason = driver.reason if driver else "No working NVIDIA driver."
        return _cpu(f"CPU build: {reason}", driver.advice if driver else "")
    units = [
        _Unit((), "", device.label, chip.capability, 0)
        for device in facts.gpus_on_bus
        if (chip := chip_of(device.device_id)) is not None
    ]
    build, served = _best_build(units, coming, facts.machine)
    if build is None:
        return _cpu(f"CPU build: no torch build knows {', '.join(unit.name for unit in units) or 'this GPU'}.", "")
    return TorchPlan(
        Action.NONE,
        "cuda",
        build.torch,
        build.index,
        f"{_row(build)} once the driver works, for {', '.join(u.name for u in served)}.",
        "Model size and devices are chosen from what nvidia-smi lists then.",
    )


def _coming_driver(facts: GpuHostFacts, driver: DriverPlan | None) -> str | None:
    """The driver that will work once its plan was carried out in this very run; None where none will."""
    if driver is None or driver.reboot is Reboot.LATER:
        return None
    if driver.action is Action.INSTALL and driver.packages:
        return f"{driver.packages.branch}.999"
    return facts.module_on_disk if driver.action is Action.REBOOT else None


def _with_driver(facts: GpuHostFacts, driver: str, settings: TorchSettings) -> TorchPlan:
    units, notes = _units(facts)
    unknown = [gpu for gpu in settings.gpus if not any(unit.is_named(gpu) for unit in units)]
    if unknown:
        listed = ", ".join(f"{unit.card[0]} = {unit.uuid} ({unit.name})" for unit in units) or "none"
        reason = f"This host has no device {', '.join(unknown)} that works. It has: {listed}."
        return _stop(reason, " ".join([*notes, _LIST]))
    if settings.gpus:
        units = [unit for unit in units if any(unit.is_named(gpu) for gpu in settings.gpus)]
    if version(driver) < version(OLDEST_USABLE_DRIVER):
        return _cpu(
            f"CPU build: driver {driver} is older than {OLDEST_USABLE_DRIVER}, the oldest that any CUDA build runs on.",
            "Upgrade the driver to use the GPU.",
        )
    build, served = _best_build(units, driver, facts.machine)
    if build is None:
        names = ", ".join(f"{unit.name} (compute capability {_dotted(unit.capability)})" for unit in units)
        why = f"no torch build serves {names} on driver {driver}" if units else "no usable GPU"
        if settings.gpus:
            return _stop(f"Device {', '.join(settings.gpus)} was asked for, and {why}.", " ".join(notes))
        return _cpu(f"CPU build: {why}.", " ".join([*notes, _driver_hint(units, driver, facts.machine)]).strip())
    left_out = [unit for unit in units if unit not in served]
    notes += [f"{unit.name} is left out: no native code for it in {build.index}." for unit in left_out]
    return _sized(facts, build, served, driver, settings, notes)


_LIST = "List them: `nvidia-smi -L`."


def _sized(
    facts: GpuHostFacts,
    build: TorchBuild,
    units: Sequence[_Unit],
    driver: str,
    settings: TorchSettings,
    notes: list[str],
) -> TorchPlan:
    workers = []
    served = []
    for unit in units:
        size, note = _size(unit, settings.model_size)
        if note:
            notes.append(note)
        if size:
            served.append(unit)
            workers.append(Worker("all" if facts.wsl else unit.uuid, unit.name, unit.memory_mib, size))
    advice = " ".join(notes)
    idle = [gpu for gpu in settings.gpus if not any(unit.is_named(gpu) for unit in served)]
    if idle:
        return _stop(f"Device {', '.join(idle)} was asked for and cannot serve.", advice)
    if not workers and settings.model_size != "auto":
        return _stop(f"Model size {settings.model_size} fits no GPU of this host.", advice)
    if not workers:
        return _cpu("CPU build: no GPU has enough memory.", advice)
    # On WSL2 the toolkit offers all GPUs as one device.
    workers = workers[:1] if facts.wsl else workers
    chosen = ", ".join(f"{worker.name} → {worker.model_size}" for worker in workers)
    reason = f"{_row(build)}: driver {driver}, compute capability {_capabilities(units)}; {chosen}."
    return TorchPlan(Action.NONE, "cuda", build.torch, build.index, reason, advice, tuple(workers), tuple(notes))


def _units(facts: GpuHostFacts) -> tuple[list[_Unit], list[str]]:
    units: list[_Unit] = []
    notes = [f"{said.rstrip('.')}: left out." for said in facts.smi.unreadable]
    unlisted = len(facts.gpus_on_bus) - len(facts.smi.gpus) - len(facts.smi.unreadable)
    if unlisted > 0:
        notes.append(
            f"Left out: {unlisted} of {len(facts.gpus_on_bus)} GPUs on the bus, which nvidia-smi does not list."
        )
    for gpu in facts.smi.gpus:
        card = (str(gpu.index), gpu.uuid)
        if gpu.capability is None:
            notes.append(f"{gpu.name} is left out: its compute capability is not known.")
        elif not gpu.mig:
            units.append(_Unit(card, gpu.uuid, gpu.name, gpu.capability, gpu.memory_mib))
        elif not gpu.mig_devices:
            notes.append(
                f"{gpu.name} is in MIG mode without instances: create some (`nvidia-smi mig -cgi 3g.20gb -C`) or turn "
                f"MIG off (`nvidia-smi -i {gpu.index} -mig 0`)."
            )
        else:
            units += [
                _Unit(card, mig.uuid, f"{gpu.name} MIG {mig.profile}", gpu.capability, mig.memory_mib)
                for mig in gpu.mig_devices
            ]
    return units, notes


def _best_build(units: Sequence[_Unit], driver: str, machine: str) -> tuple[TorchBuild | None, list[_Unit]]:
    best: TorchBuild | None = None
    best_served: list[_Unit] = []
    for build in TORCH_BUILDS:
        served = [unit for unit in units if build.runs_on(unit.capability, driver, machine)]
        if _weight(served) > _weight(best_served):
            best, best_served = build, served
    return best, best_served


def _weight(units: Sequence[_Unit]) -> tuple[int, int]:
    return sum(unit.memory_mib for unit in units), len(units)


def _size(unit: _Unit, wanted: str) -> tuple[str | None, str]:
    fits = model_size_for(unit.memory_mib)
    if fits is None:
        return None, f"{unit.name} is left out: {unit.memory_mib} MiB are too little for the smallest model."
    if wanted == "auto":
        return fits, ""
    needed = next(size.minimum_memory_mib for size in MODEL_SIZES if size.name == wanted)
    if unit.memory_mib < needed:
        return None, f"{unit.name} has {unit.memory_mib} MiB, {wanted} needs {needed}; {fits} would fit."
    return wanted, ""


def _driver_hint(units: Sequence[_Unit], driver: str, machine: str) -> str:
    newest = max(TORCH_BUILDS, key=lambda build: version(build.minimum_driver)).minimum_driver
    if version(driver) < version(newest) and _best_build(units, newest, machine)[0]:
        return f"Driver {newest} or newer would let it run on the GPU."
    return ""


def _row(build: TorchBuild) -> str:
    return f"torch {build.torch} for CUDA {build.cuda} (index {build.index}, driver ≥ {build.minimum_driver})"


def _dotted(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"


def _capabilities(units: Sequence[_Unit]) -> str:
    return ", ".join(_dotted(capability) for capability in sorted({unit.capability for unit in units}))


def _cpu(reason: str, advice: str) -> TorchPlan:
    return TorchPlan(Action.NONE, "cpu", CPU_TORCH, "cpu", reason, advice)


def _stop(reason: str, advice: str) -> TorchPlan:
    return TorchPlan(Action.STOP, "", "", "", reason, advice)
