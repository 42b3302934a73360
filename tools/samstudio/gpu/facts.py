"""What is known about a GPU host, read from raw command output. Pure: the output goes in, a frozen record comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .compatibility import Architecture, Capability, chip_of
from .kernels import newer_kernel

NVIDIA = 0x10DE
_DISPLAY_CLASSES = (0x0300, 0x0302, 0x0380)
_BRIDGE_CLASS = 0x0680  # NVSwitch


@dataclass(frozen=True)
class Output:
    """What one probe said. ``returncode`` is None when the command does not exist on the host."""

    stdout: str = ""
    stderr: str = ""
    returncode: int | None = 0

    @property
    def text(self) -> str:
        """Standard output of a command that succeeded, else nothing."""
        return self.stdout if self.returncode == 0 else ""


@dataclass(frozen=True)
class PciDevice:
    """One NVIDIA function on the PCI bus; ``class_code`` is class and subclass, 0x0300 for a display controller."""

    slot: str
    class_code: int
    device_id: int

    @property
    def is_gpu(self) -> bool:
        return self.class_code in _DISPLAY_CLASSES

    @property
    def is_nvswitch(self) -> bool:
        return self.class_code == _BRIDGE_CLASS

    @property
    def architecture(self) -> Architecture | None:
        chip = chip_of(self.device_id)
        return chip.architecture if chip else None

    @property
    def label(self) -> str:
        """For a person: ``GA102 (Ampere, 10de:2204)``."""
        chip = chip_of(self.device_id)
        known = f"{chip.name} ({chip.architecture.name}, " if chip else "unknown chip ("
        return f"{known}10de:{self.device_id:04x})"


@dataclass(frozen=True)
class MigDevice:
    """A slice of a GPU in MIG mode; ``memory_mib`` comes from the profile's name (3g.20gb)."""

    uuid: str
    profile: str
    memory_mib: int


@dataclass(frozen=True)
class Gpu:
    """A GPU that the driver lists."""

    index: int
    uuid: str
    name: str
    device_id: int
    capability: Capability | None
    memory_mib: int
    mig: bool = False
    mig_devices: tuple[MigDevice, ...] = ()


@dataclass(frozen=True)
class NvidiaSmi:
    """What nvidia-smi said; ``error`` is its own sentence when it failed, None when it is not installed or works.

    ``unreadable``: what it says of each GPU that it cannot read any more.
    """

    installed: bool
    driver_version: str | None = None
    gpus: tuple[Gpu, ...] = ()
    error: str | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        return bool(self.gpus)

    @property
    def version_mismatch(self) -> bool:
        return self.error is not None and "version mismatch" in self.error


@dataclass(frozen=True)
class GpuHostFacts:
    """Everything the plans look at. Versions are strings as the host prints them."""

    os_id: str
    os_version: str
    os_like: tuple[str, ...]
    kernel: str
    kernels: tuple[str, ...]
    machine: str
    pci: tuple[PciDevice, ...]
    smi: NvidiaSmi
    loaded_module: str | None
    module_on_disk: str | None
    nouveau_loaded: bool
    secure_boot: bool
    mok_enrolled: bool
    virtualization: str
    engine_version: str | None
    packages: Mapping[str, str]
    runfile_driver: bool
    desktop: bool

    @property
    def gpus_on_bus(self) -> tuple[PciDevice, ...]:
        return tuple(device for device in self.pci if device.is_gpu)

    @property
    def nvswitch(self) -> bool:
        return any(device.is_nvswitch for device in self.pci)

    @property
    def wsl(self) -> bool:
        return self.virtualization == "wsl" or "microsoft" in self.kernel.lower()

    @property
    def in_container(self) -> bool:
        return self.virtualization in _CONTAINERS

    @property
    def newer_kernel(self) -> str | None:
        """A kernel that is installed and waits for a boot."""
        return None if self.wsl or self.in_container else newer_kernel(self.kernel, self.kernels)

    @property
    def kernel_modules_gone(self) -> bool:
        """Whether the running kernel was removed from the disk, so that it can load no module any more."""
        return bool(self.kernels) and self.kernel not in self.kernels and not (self.wsl or self.in_container)

    @property
    def has_nvidia(self) -> bool:
        return self.smi.works or bool(self.gpus_on_bus)


_CONTAINERS = ("docker", "podman", "lxc", "lxc-libvirt", "systemd-nspawn", "openvz", "container-other")


def parse(outputs: Mapping[str, Output]) -> GpuHostFacts:
    """Read the output of `collect.PROBES`. A probe that is missing counts as a command that the host does not have."""

    def output(name: str) -> Output:
        return outputs.get(name, Output(returncode=None))

    release = _parse_os_release(output("os_release").text)
    kernel, _, machine = output("kernel").text.strip().partition(" ")
    return GpuHostFacts(
        os_id=release.get("ID", "unknown"),
        os_version=release.get("VERSION_ID", ""),
        os_like=tuple(release.get("ID_LIKE", "").split()),
        kernel=kernel,
        kernels=tuple(re.findall(r"^/lib/modules/([^/\n]+)/kernel$", output("kernels").stdout, re.MULTILINE)),
        machine=machine,
        pci=_parse_lspci(output("pci").text) or _parse_uevents(output("pci_sysfs").stdout),
        smi=_parse_smi(output("smi"), output("smi_capability"), output("smi_list")),
        loaded_module=_first(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", output("module_loaded").text),
        module_on_disk=_first(r"^version:\s+(\S+)", output("module_on_disk").text),
        nouveau_loaded=_first(r"^(nouveau)\s", output("modules").text) is not None,
        secure_boot=_parse_secure_boot(output("secure_boot").text, output("secure_boot_variable").text),
        mok_enrolled="is already enrolled" in output("mok_key").stdout,
        virtualization=output("virtualization").stdout.strip() or "none",
        engine_version=_first(r"^Server:.*?^\s+Version:\s+(\S+)", output("engine").stdout),
        packages=_parse_packages(output("deb_packages").stdout),
        runfile_driver=output("runfile").returncode == 0,
        desktop=output("desktop").stdout.strip() == "active",
    )


def outputs_from_json(text: str) -> dict[str, Output]:
    """What `collect` printed, read back. Raises ValueError for anything else."""
    try:
        return {name: Output(**answer) for name, answer in json.loads(text).items()}
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"expected the JSON object of samstudio/gpu/collect.py, found {text[:200]!r}") from error


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else None


def _parse_os_release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def _parse_lspci(text: str) -> tuple[PciDevice, ...]:
    pattern = r"^(\S+) [^\[\n]*\[([0-9a-f]{4})\]: .*\[10de:([0-9a-f]{4})\]"
    return tuple(
        PciDevice(slot, int(class_code, 16), int(device_id, 16))
        for slot, class_code, device_id in re.findall(pattern, text, re.MULTILINE)
    )


def _parse_uevents(text: str) -> tuple[PciDevice, ...]:
    """The kernel's own listing, for hosts without pciutils: PCI_CLASS, PCI_ID and PCI_SLOT_NAME lines per device."""
    pattern = r"PCI_CLASS=([0-9A-F]+)\nPCI_ID=10DE:([0-9A-F]{4})\n(?:(?!PCI_CLASS=).*\n)*?PCI_SLOT_NAME=(\S+)"
    return tuple(
        PciDevice(slot, int(class_code, 16) >> 8, int(device_id, 16))
        for class_code, device_id, slot in re.findall(pattern, text)
    )


def _parse_smi(query: Output, capability: Output, listing: Output) -> NvidiaSmi:
    if query.returncode is None:
        return NvidiaSmi(installed=False)
    # It fails for one GPU that it cannot read, and lists the others all the same.
    pairs = (_csv(row) for row in capability.stdout.splitlines() if row.count(",") == 1)
    capabilities = {cells[0]: cells[1] for cells in pairs}
    slices = _parse_mig(listing.stdout)
    gpus = []
    unreadable = []
    driver = None
    for row in query.stdout.splitlines():
        if _UNREADABLE.search(row):
            unreadable.append(_unreadable(_csv(row)))
            continue
        cells = _csv(row)
        if len(cells) != 7:
            continue
        index, uuid, name, pci_id, memory, driver, mig = cells
        device_id = int(pci_id, 16) >> 16 if pci_id.startswith("0x") else 0
        gpus.append(
            Gpu(
                index=int(index),
                uuid=uuid,
                name=name,
                device_id=device_id,
                capability=_capability(capabilities.get(uuid, ""), device_id),
                memory_mib=int(memory) if memory.isdigit() else 0,
                mig=mig == "Enabled",
                mig_devices=slices.get(uuid, ()),
            )
        )
    error = None if gpus else _sentence(query)
    return NvidiaSmi(True, driver, tuple(gpus), error, tuple(unreadable))


#: NVML's words for a GPU that answers no more, as a line of its own or in place of a value.
_UNREADABLE = re.compile(r"Unable to determine the device handle|\[[^\]]*(lost|error)[^\]]*\]", re.IGNORECASE)


def _unreadable(cells: tuple[str, ...]) -> str:
    """``GPU 1 (NVIDIA L4): GPU is lost`` from the cells of its row, or the line itself."""
    if len(cells) != 7:
        return ", ".join(cells)
    said = next(cell for cell in cells if _UNREADABLE.search(cell))
    known = f" ({cells[2]})" if not cells[2].startswith("[") else ""
    return f"GPU {cells[0]}{known}: {said.strip('[]')}"


def _csv(row: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in row.split(","))


def _sentence(output: Output) -> str:
    return " ".join(f"{output.stdout}\n{output.stderr}".split()) or f"exit status {output.returncode}"


def _capability(text: str, device_id: int) -> Capability | None:
    match = re.fullmatch(r"(\d+)\.(\d+)", text)
    if match:
        return int(match.group(1)), int(match.group(2))
    chip = chip_of(device_id)
    return chip.capability if chip else None


def _parse_mig(listing: str) -> dict[str, tuple[MigDevice, ...]]:
    """``nvidia-smi -L``: a GPU line, then one indented line for each MIG device on it."""
    slices: dict[str, tuple[MigDevice, ...]] = {}
    owner = ""
    for line in listing.splitlines():
        if gpu := re.match(r"GPU \d+: .*\(UUID: (\S+)\)", line):
            owner = gpu.group(1)
        elif mig := re.match(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (\S+)\)", line):
            gib = _first(r"(\d+)gb", mig.group(1)) or "0"
            slices[owner] = (*slices.get(owner, ()), MigDevice(mig.group(2), mig.group(1), int(gib) * 1024))
    return slices


def _parse_secure_boot(mokutil: str, variable: str) -> bool:
    return "SecureBoot enabled" in mokutil if mokutil else variable.strip() == "1"


def _parse_packages(text: str) -> dict[str, str]:
    """Installed packages only: dpkg lists removed ones as well, with a state other than ``ii``."""
    rows = (line.split() for line in text.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "ii"}
