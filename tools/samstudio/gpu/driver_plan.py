"""What to do about the NVIDIA driver of a host: a pure function from facts and settings to a plan with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from .compatibility import OLDEST_USABLE_DRIVER, Architecture, KernelModules, older_than_table, version
from .driver_packages import (
    PackageSet,
    distribution_branch,
    distribution_name,
    distribution_packages,
    installed_source,
    nvidia_packages,
)
from .facts import GpuHostFacts

SUPPORTED = "Ubuntu 22.04, 24.04, 26.04, Debian 12, 13 on x86_64 or aarch64"


class Action(str, Enum):
    """What a role does: nothing (it works), nothing (it does not concern this host), install, stop, reboot."""

    NONE = "none"
    SKIP = "skip"
    INSTALL = "install"
    STOP = "stop"
    REBOOT = "reboot"


class Reboot(str, Enum):
    """Whether the driver needs a boot: no, in the middle of the deploy, or whenever the admin likes."""

    NONE = "none"
    NOW = "now"
    LATER = "later"


@dataclass(frozen=True)
class DriverSettings:
    """What an admin may choose.

    ``repository`` is a mirror of NVIDIA's repositories, ``key`` the key that signs it. ``reboot``: True reboots the
    host where the driver needs it, False goes on without the GPU, None has not said. ``local``: the deploy runs on the
    host itself, which it therefore cannot reboot. ``despite_desktop``: a desktop that runs may lose its display driver.
    """

    branch: str = "580"
    source: str = "auto"
    repository: str = ""
    key: str = ""
    reboot: bool | None = None
    local: bool = False
    despite_desktop: bool = False


@dataclass(frozen=True)
class DriverPlan:
    """A decision, why it was taken (``reason``) and what a person has to do or know (``advice``, may be empty)."""

    action: Action
    reason: str
    advice: str = ""
    modules: KernelModules | None = None
    packages: PackageSet | None = None
    reboot: Reboot = Reboot.NONE
    services: tuple[str, ...] = ()


def driver_plan(facts: GpuHostFacts, settings: DriverSettings | None = None) -> DriverPlan:
    """Decide about the driver: one that works is never touched, the distribution's and NVIDIA's are never mixed.

    Whatever a person has to do first is found here, before anything changes, and makes the plan STOP.
    """
    settings = settings or DriverSettings()
    if facts.wsl:
        return _wsl(facts)
    if facts.smi.works:
        return _working(facts)
    if not facts.gpus_on_bus:
        return _no_hardware(facts)
    if facts.in_container:
        return _stop(
            f"{_on_bus(facts)} belongs to the host of this container ({facts.virtualization}).",
            "Install the driver on that host and give the container its devices.",
        )
    if all(_too_old(facts, index) for index in range(len(facts.gpus_on_bus))):
        return DriverPlan(
            Action.SKIP,
            f"{_on_bus(facts)} is too old: no driver branch from {_usable_branch()} on knows it.",
            "The backend runs on the CPU.",
        )
    return _with_consent(facts, _pending_reboot(facts) or _obstacle(facts) or _install(facts, settings), settings)


def _wsl(facts: GpuHostFacts) -> DriverPlan:
    if facts.smi.works:
        return DriverPlan(
            Action.NONE,
            f"WSL2: driver {facts.smi.driver_version} of Windows works, {_listed(facts)}; nothing to install.",
        )
    return DriverPlan(
        Action.SKIP,
        "WSL2 without a working NVIDIA driver" + (f" ({facts.smi.error})." if facts.smi.error else "."),
        "The driver belongs to Windows: install it there, then `wsl --shutdown`. Never install a Linux driver in WSL2.",
    )


def _working(facts: GpuHostFacts) -> DriverPlan:
    driver = facts.smi.driver_version or ""
    advice = ""
    missing = len(facts.gpus_on_bus) - len(facts.smi.gpus)
    if version(driver) < version(OLDEST_USABLE_DRIVER):
        advice = (
            f"Driver {driver} is older than {OLDEST_USABLE_DRIVER}, which every CUDA build of the backend needs: "
            "it will run on the CPU. Remove the old driver and run again to get a current one."
        )
    elif missing > 0:
        advice = (
            f"{missing} of {len(facts.gpus_on_bus)} GPUs on the bus are not listed by nvidia-smi: too new or too old "
            f"for driver {driver}, or held by another driver (vfio, nouveau)."
        )
    return DriverPlan(
        Action.NONE,
        f"Driver {driver} works: {_listed(facts)}; nothing is touched.",
        advice,
        services=_services(facts),
    )


def _no_hardware(facts: GpuHostFacts) -> DriverPlan:
    place = f"this virtual machine ({facts.virtualization})" if facts.virtualization != "none" else "this host"
    reason = f"No NVIDIA GPU on the PCI bus of {place}; skipped."
    advice = ""
    if facts.smi.installed:
        advice = f"nvidia-smi is installed but says: {facts.smi.error}. If there should be a GPU, check slot and power."
    elif facts.virtualization not in ("none", "docker", "podman", "lxc"):
        advice = "If it should have one, pass the GPU through in the hypervisor or choose an instance type with a GPU."
    return DriverPlan(Action.SKIP, reason, advice)


def _pending_reboot(facts: GpuHostFacts) -> DriverPlan | None:
    """A driver that is complete on disk and only waits for a boot."""
    if facts.smi.version_mismatch:
        return DriverPlan(
            Action.REBOOT,
            f"The driver's libraries were upgraded while kernel module {facts.loaded_module or 'of the old version'} "
            f"stayed loaded (nvidia-smi: {facts.smi.error}).",
            "A reboot loads the new module.",
        )
    if not (facts.smi.installed and facts.module_on_disk):
        return None
    if facts.nouveau_loaded:
        return DriverPlan(
            Action.REBOOT,
            f"Driver {facts.module_on_disk} is installed, but nouveau still holds the GPU.",
            "A reboot lets the NVIDIA module take it.",
        )
    if facts.loaded_module and facts.loaded_module != facts.module_on_disk:
        return DriverPlan(
            Action.REBOOT,
            f"Kernel module {facts.loaded_module} is loaded, {facts.module_on_disk} is installed.",
            "A reboot loads the new module.",
        )
    return None


def _obstacle(facts: GpuHostFacts) -> DriverPlan | None:
    """What a person has to clear before any package is installed."""
    if facts.runfile_driver:
        return _stop(
            f"A driver from NVIDIA's .run installer is present but broken (nvidia-smi: {facts.smi.error}).",
            "Packages cannot repair it: run `nvidia-uninstall`, reboot, then run again.",
        )
    if distribution_name(facts) is None or facts.machine not in ("x86_64", "aarch64"):
        return _stop(
            f"{_on_bus(facts)} has no driver, and {facts.os_id} {facts.os_version} on {facts.machine} is not one that "
            f"this role can install on. Expected: {SUPPORTED}.",
            "Install the driver by your system's own means; once `nvidia-smi` works, run again.",
        )
    if facts.newer_kernel:
        return _stop(
            f"Kernel {facts.kernel} runs, {facts.newer_kernel} is installed and waits for a boot: the driver's module "
            "would be built for the one that does not run.",
            "Reboot first (systemctl reboot), then run again.",
        )
    return None


def _install(facts: GpuHostFacts, settings: DriverSettings) -> DriverPlan:
    source, clash = _choose_source(facts, settings)
    if clash:
        return clash
    branch = distribution_branch(facts, settings.branch) if source == "distribution" else settings.branch
    if branch is None:
        return _stop(
            f"{facts.os_id} ships no NVIDIA driver of its own, but nvidia_driver_source is distribution.",
            "Set nvidia_driver_source to nvidia or auto.",
        )
    modules, clash = _choose_modules(_architectures(facts), branch)
    if clash:
        return clash
    packages = (
        distribution_packages(facts, branch, modules)
        if source == "distribution"
        else nvidia_packages(facts, branch, modules, settings.repository, settings.key)
    )
    if packages is None:
        return _stop(
            f"The key of NVIDIA's repository for {facts.os_id} {facts.os_version} is not known here.",
            "Use nvidia_driver_source: auto, or set nvidia_driver_repository_key to the address of its key.",
        )
    if facts.secure_boot and not packages.signed_modules and not facts.mok_enrolled:
        return _secure_boot(facts)
    return DriverPlan(
        Action.INSTALL,
        _why_install(facts, packages, modules),
        _after_install(facts),
        modules=modules,
        packages=packages,
        services=_services(facts),
    )


def _with_consent(facts: GpuHostFacts, plan: DriverPlan, settings: DriverSettings) -> DriverPlan:
    """The plan, or a stop where it would take something from a person who has not agreed: the desktop, or a reboot."""
    if plan.action is Action.INSTALL and facts.desktop and not settings.despite_desktop:
        return _stop(
            f"A desktop runs on this host (display-manager.service). {plan.reason} That driver computes but draws "
            "nothing, and nouveau is switched off for it: the desktop may not come back.",
            "Install your desktop's NVIDIA driver yourself (Ubuntu: ubuntu-drivers install; Debian: apt-get install "
            "nvidia-driver), reboot and run again, or accept it with -e nvidia_driver_despite_desktop=true.",
        )
    pending = plan.action is Action.REBOOT
    if not pending and not (plan.action is Action.INSTALL and (facts.nouveau_loaded or facts.loaded_module)):
        return plan
    if settings.reboot is False:
        return replace(plan, reboot=Reboot.LATER)
    if settings.reboot and not settings.local:
        return replace(plan, reboot=Reboot.NOW)
    without = "with -e nvidia_driver_reboot=false this goes on without the GPU"
    by_hand = "Reboot by hand (systemctl reboot), then run the same command again"
    if pending and settings.local:
        return _stop(
            f"{plan.reason} {plan.advice} A deploy cannot reboot the machine that it runs on.", f"{by_hand}; {without}."
        )
    if pending:
        return _stop(
            f"{plan.reason} {plan.advice}", f"{by_hand}, or allow it with -e nvidia_driver_reboot=true; {without}."
        )
    if settings.local:
        return _stop(
            f"{plan.reason} That needs a reboot, and a deploy cannot reboot the machine that it runs on.",
            "Deploy with -e nvidia_driver_reboot=false: the driver is installed and the backend begins on the CPU. "
            "Then reboot by hand and run the same command again, and it moves to the GPU.",
        )
    return _stop(
        f"{plan.reason} That needs a reboot, and nobody said whether this host may.",
        f"Allow it with -e nvidia_driver_reboot=true; {without} until somebody reboots it.",
    )


def _choose_source(facts: GpuHostFacts, settings: DriverSettings) -> tuple[str, DriverPlan | None]:
    present = installed_source(facts)
    best = "distribution" if facts.os_id == "ubuntu" else "nvidia"
    wanted = settings.source if settings.source != "auto" else (present or best)
    if present and present != wanted:
        return wanted, _stop(
            f"Driver packages of the {present} source are installed but do not work, nvidia_driver_source is {wanted}; "
            "the two must not be mixed.",
            f"Remove them first (`apt-get purge '*nvidia*'`), or set nvidia_driver_source: {present}.",
        )
    return wanted, None


def _choose_modules(architectures: Sequence[Architecture], branch: str) -> tuple[KernelModules, DriverPlan | None]:
    """Open modules from Turing on. A chip newer than the table has no architecture here and takes the open ones too."""
    flavours = {architecture.modules for architecture in architectures}
    modules = KernelModules.PROPRIETARY if KernelModules.PROPRIETARY in flavours else KernelModules.OPEN
    if flavours >= {KernelModules.PROPRIETARY, KernelModules.OPEN}:
        names = " and ".join(sorted({a.name for a in architectures if a.modules is not KernelModules.EITHER}))
        return modules, _stop(
            f"No single driver serves {names} in one host: one needs proprietary kernel modules, the other open ones.",
            "Take one of the cards out, or hide one from the host (vfio).",
        )
    for architecture in architectures:
        if architecture.last_branch and int(branch) > architecture.last_branch:
            return modules, _stop(
                f"Driver branch {branch} no longer knows {architecture.name}; its last is {architecture.last_branch}.",
                f'Set nvidia_driver_branch: "{architecture.last_branch}".',
            )
        if int(branch) < architecture.first_branch:
            return modules, _stop(
                f"Driver branch {branch} is too old for {architecture.name}: {architecture.first_branch} or newer.",
                'Set nvidia_driver_branch: "580" and nvidia_driver_source: auto.',
            )
    return modules, None


def _secure_boot(facts: GpuHostFacts) -> DriverPlan:
    key = "/var/lib/shim-signed/mok/MOK.der" if facts.os_id == "ubuntu" else "/var/lib/dkms/mok.pub"
    return _stop(
        "Secure Boot is on, and the driver for this system is built on the host (DKMS): its modules are signed by a "
        "key that the firmware does not trust yet ('Key was rejected by service'). Nothing was changed.",
        f"Enrol the host's machine owner key (MOK) once: install dkms, run `dkms generate_mok` if {key} is missing, "
        f"then `mokutil --import {key}`, choose a one-time password, reboot, and confirm 'Enroll MOK' at the "
        "console; that screen cannot be answered over SSH. Then run again. The other way: turn Secure Boot off.",
    )


def _why_install(facts: GpuHostFacts, packages: PackageSet, modules: KernelModules) -> str:
    found = f"driver present but broken (nvidia-smi: {facts.smi.error})" if facts.smi.installed else "no driver"
    origin = "NVIDIA's repository" if packages.source == "nvidia" else f"{facts.os_id}'s own packages"
    signed = ", modules signed by Canonical" if packages.signed_modules else ""
    return (
        f"{_on_bus(facts)}, {found}: install branch {packages.branch} with {modules.value} kernel modules "
        f"from {origin}{signed}."
    )


def _after_install(facts: GpuHostFacts) -> str:
    notes = []
    if facts.nouveau_loaded:
        notes.append("nouveau is loaded: the driver works after a reboot.")
    if facts.nvswitch:
        notes.append("NVSwitch found: the fabric manager of the same version is installed and started.")
    too_old = sum(_too_old(facts, index) for index in range(len(facts.gpus_on_bus)))
    if too_old:
        notes.append(f"{too_old} older GPU in this host stays unused.")
    return " ".join(notes)


def _services(facts: GpuHostFacts) -> tuple[str, ...]:
    if facts.in_container:
        return ()
    return ("nvidia-persistenced", "nvidia-fabricmanager") if facts.nvswitch else ("nvidia-persistenced",)


def _too_old(facts: GpuHostFacts, index: int) -> bool:
    device = facts.gpus_on_bus[index]
    architecture = device.architecture
    if architecture is None:
        return older_than_table(device.device_id)
    return architecture.last_branch is not None and architecture.last_branch < _usable_branch()


def _architectures(facts: GpuHostFacts) -> tuple[Architecture, ...]:
    devices = enumerate(facts.gpus_on_bus)
    return tuple(device.architecture for i, device in devices if device.architecture and not _too_old(facts, i))


def _usable_branch() -> int:
    return version(OLDEST_USABLE_DRIVER)[0]


def _stop(reason: str, advice: str) -> DriverPlan:
    return DriverPlan(Action.STOP, reason, advice)


def _on_bus(facts: GpuHostFacts) -> str:
    return ", ".join(device.label for device in facts.gpus_on_bus)


def _listed(facts: GpuHostFacts) -> str:
    return ", ".join(gpu.name for gpu in facts.smi.gpus)
