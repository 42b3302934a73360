"""The one table: driver, CUDA build, compute capability and torch version that work together.

Sources: PCI ids from pciids.sourceforge.net; compute capabilities from developer.nvidia.com/cuda-gpus; driver minima
from docs.nvidia.com/deploy/cuda-compatibility (minor-version compatibility); what each wheel holds from PyTorch's
RELEASE.md ("PyTorch CUDA Support Matrix", release 2.11 onwards).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Capability = tuple[int, int]
Version = tuple[int, ...]


def version(text: str) -> Version:
    """``"580.65.06"`` → ``(580, 65, 6)``: the leading dotted numbers, compared the way driver versions are ordered."""
    numbers: list[int] = []
    for part in text.strip().split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


class KernelModules(str, Enum):
    """Which flavour of NVIDIA's kernel modules drives a GPU (open ones need the GSP, Turing and later)."""

    OPEN = "open"
    PROPRIETARY = "proprietary"
    EITHER = "either"


@dataclass(frozen=True)
class Architecture:
    """A GPU generation: its module flavour and the driver branches that know it (None: no end announced)."""

    name: str
    modules: KernelModules
    first_branch: int
    last_branch: int | None


KEPLER = Architecture("Kepler", KernelModules.PROPRIETARY, 304, 470)
MAXWELL = Architecture("Maxwell", KernelModules.PROPRIETARY, 340, 580)
PASCAL = Architecture("Pascal", KernelModules.PROPRIETARY, 367, 580)
VOLTA = Architecture("Volta", KernelModules.PROPRIETARY, 384, 580)
TURING = Architecture("Turing", KernelModules.EITHER, 410, None)
AMPERE = Architecture("Ampere", KernelModules.EITHER, 450, None)
ADA = Architecture("Ada", KernelModules.EITHER, 520, None)
HOPPER = Architecture("Hopper", KernelModules.EITHER, 520, None)
BLACKWELL = Architecture("Blackwell", KernelModules.OPEN, 570, None)


@dataclass(frozen=True)
class Chip:
    """A chip and the block of PCI device ids that NVIDIA numbers its boards from."""

    name: str
    first_id: int
    last_id: int
    capability: Capability
    architecture: Architecture


CHIPS = (
    Chip("GK107", 0x0FC0, 0x0FFF, (3, 0), KEPLER),
    Chip("GK110", 0x1000, 0x103F, (3, 5), KEPLER),
    Chip("GK104/GK106", 0x1180, 0x11FF, (3, 0), KEPLER),
    Chip("GK208", 0x1280, 0x12BF, (3, 5), KEPLER),
    Chip("GM107/GM108", 0x1340, 0x13BF, (5, 0), MAXWELL),
    Chip("GM204", 0x13C0, 0x13FF, (5, 2), MAXWELL),
    Chip("GM206", 0x1400, 0x143F, (5, 2), MAXWELL),
    Chip("GM204/GM206 mobile", 0x1600, 0x167F, (5, 2), MAXWELL),
    Chip("GM108 mobile", 0x1740, 0x177F, (5, 0), MAXWELL),
    Chip("GM200", 0x17C0, 0x17FF, (5, 2), MAXWELL),
    Chip("GP100", 0x15F0, 0x15FF, (6, 0), PASCAL),
    Chip("GP102", 0x1B00, 0x1B7F, (6, 1), PASCAL),
    Chip("GP104", 0x1B80, 0x1BFF, (6, 1), PASCAL),
    Chip("GP106", 0x1C00, 0x1C7F, (6, 1), PASCAL),
    Chip("GP107", 0x1C80, 0x1CFF, (6, 1), PASCAL),
    Chip("GP108", 0x1D00, 0x1D7F, (6, 1), PASCAL),
    Chip("GV100", 0x1D80, 0x1DFF, (7, 0), VOLTA),
    Chip("TU102", 0x1E00, 0x1E7F, (7, 5), TURING),
    Chip("TU104", 0x1E80, 0x1EFF, (7, 5), TURING),
    Chip("TU106", 0x1F00, 0x1F7F, (7, 5), TURING),
    Chip("TU117", 0x1F80, 0x1FFF, (7, 5), TURING),
    Chip("TU116", 0x2180, 0x21FF, (7, 5), TURING),
    Chip("GA100", 0x2080, 0x20FF, (8, 0), AMPERE),
    Chip("GA102", 0x2200, 0x227F, (8, 6), AMPERE),
    Chip("GA103", 0x2400, 0x247F, (8, 6), AMPERE),
    Chip("GA104", 0x2480, 0x24FF, (8, 6), AMPERE),
    Chip("GA106", 0x2500, 0x257F, (8, 6), AMPERE),
    Chip("GA107", 0x2580, 0x25FF, (8, 6), AMPERE),
    Chip("GH100", 0x2300, 0x237F, (9, 0), HOPPER),
    Chip("AD102", 0x2680, 0x26FF, (8, 9), ADA),
    Chip("AD103", 0x2700, 0x277F, (8, 9), ADA),
    Chip("AD104", 0x2780, 0x27FF, (8, 9), ADA),
    Chip("AD106", 0x2800, 0x287F, (8, 9), ADA),
    Chip("AD107", 0x2880, 0x28FF, (8, 9), ADA),
    Chip("GB100", 0x2900, 0x297F, (10, 0), BLACKWELL),
    Chip("GB202", 0x2B80, 0x2BFF, (12, 0), BLACKWELL),
    Chip("GB203", 0x2C00, 0x2C7F, (12, 0), BLACKWELL),
    Chip("GB206", 0x2D00, 0x2D7F, (12, 0), BLACKWELL),
    Chip("GB207", 0x2D80, 0x2DFF, (12, 0), BLACKWELL),
    Chip("GB20B", 0x2E00, 0x2E7F, (12, 1), BLACKWELL),
    Chip("GB205", 0x2F00, 0x2F7F, (12, 0), BLACKWELL),
    Chip("GB110", 0x3180, 0x31FF, (10, 3), BLACKWELL),
)


def chip_of(device_id: int) -> Chip | None:
    """The chip that a PCI device id of vendor 10de belongs to, or None for one that this table does not know."""
    return next((chip for chip in CHIPS if chip.first_id <= device_id <= chip.last_id), None)


def older_than_table(device_id: int) -> bool:
    """Whether an unknown id lies in the old number space (Fermi and before), for which no usable driver exists."""
    return chip_of(device_id) is None and device_id < MAXWELL_FIRST_ID


MAXWELL_FIRST_ID = 0x1340


@dataclass(frozen=True)
class TorchBuild:
    """A torch wheel: the index it comes from and what it needs.

    ``capabilities`` is the inclusive range of compute capabilities with native code in the wheel; a minor revision
    above the last one in the same major still runs it (8.9 runs 8.6 code, 12.1 runs 12.0 code).
    """

    torch: str
    cuda: str
    index: str
    minimum_driver: str
    capabilities: tuple[Capability, Capability]
    machines: tuple[str, ...]

    def runs_on(self, capability: Capability, driver: str, machine: str) -> bool:
        """Whether the GPU, the driver and the processor can all use this build."""
        first, last = self.capabilities
        if machine == "aarch64" and capability < (8, 0):  # the ARM wheels start at Ampere
            return False
        return (
            first <= capability <= (last[0], 9)
            and version(driver) >= version(self.minimum_driver)
            and machine in self.machines
        )


BOTH = ("x86_64", "aarch64")

#: In order of preference. cu126 is the only build left for Pascal and Volta; 2.11 is the last torch built for
#: CUDA 12.8, which is what Hopper and Blackwell need where the driver is older than 580.
TORCH_BUILDS = (
    TorchBuild("2.13.0", "13.0", "cu130", "580.65.06", ((7, 5), (12, 0)), BOTH),
    TorchBuild("2.13.0", "12.6", "cu126", "525.60.13", ((5, 0), (8, 9)), BOTH),
    TorchBuild("2.11.0", "12.8", "cu128", "525.60.13", ((7, 5), (12, 0)), BOTH),
)
CPU_TORCH = "2.13.0"
OLDEST_USABLE_DRIVER = "525.60.13"


def torch_build_for(capability: Capability, driver: str, machine: str) -> TorchBuild | None:
    """The preferred build that this GPU, driver and processor can run, or None."""
    return next((build for build in TORCH_BUILDS if build.runs_on(capability, driver, machine)), None)


@dataclass(frozen=True)
class ModelSize:
    """A SAM 2.1 size and the GPU memory from which one worker of it is started (estimate with room for caches)."""

    name: str
    minimum_memory_mib: int


#: Not measured: weights in fp32 plus one 1024-pixel encode, doubled, plus a CUDA context of about 500 MiB.
MODEL_SIZES = (
    ModelSize("large", 5800),
    ModelSize("base_plus", 3800),
    ModelSize("small", 2800),
    ModelSize("tiny", 1800),
)


def model_size_for(memory_mib: int) -> str | None:
    """The largest size that fits, or None where not even tiny does."""
    return next((size.name for size in MODEL_SIZES if memory_mib >= size.minimum_memory_mib), None)
