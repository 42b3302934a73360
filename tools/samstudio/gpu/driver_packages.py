"""Which packages carry the NVIDIA driver on which distribution, and in which repository they are.

Names from NVIDIA's driver installation guide (compute-only installation), Ubuntu's and Debian's package indexes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from .compatibility import KernelModules
from .facts import GpuHostFacts

NVIDIA_REPOSITORIES = "https://developer.download.nvidia.com/compute/cuda/repos"
_UBUNTU_GA_KERNELS = {"22.04": "5.15", "24.04": "6.8", "26.04": "7.0"}
_DEBIAN_BRANCHES = {"12": "535", "13": "550"}
_REPOSITORY_MACHINES = {"x86_64": "x86_64", "aarch64": "sbsa"}
_DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

#: NVIDIA signs each repository with one of these; Ubuntu 26.04's is not known here.
_REPOSITORY_KEYS = {
    "ubuntu2204": "3bf863cc.pub",
    "ubuntu2404": "3bf863cc.pub",
    "debian12": "3bf863cc.pub",
    "debian13": "8793F200.pub",
}


@dataclass(frozen=True)
class Repository:
    """A package repository outside the distribution: a flat apt one, with the key that signs it."""

    name: str
    uri: str
    key: str

    @property
    def host(self) -> str:
        """What an apt pin names as the origin."""
        return urlsplit(self.uri).hostname or ""


@dataclass(frozen=True)
class PackageSet:
    """What to install, in two steps: ``first`` locks the branch before ``packages`` bring the driver."""

    source: str
    branch: str
    packages: tuple[str, ...]
    signed_modules: bool = False
    first: tuple[str, ...] = ()
    repository: Repository | None = None


def distribution_name(facts: GpuHostFacts) -> str | None:
    """The distribution as NVIDIA's repository spells it (``debian12``), or None when it is not a supported one."""
    if facts.os_id == "ubuntu" and facts.os_version in _UBUNTU_GA_KERNELS:
        return f"ubuntu{facts.os_version.replace('.', '')}"
    if facts.os_id == "debian" and facts.os_version in _DEBIAN_BRANCHES:
        return f"debian{facts.os_version}"
    return None


def distribution_branch(facts: GpuHostFacts, wanted: str) -> str | None:
    """The driver branch that the distribution itself ships, or None when it ships none."""
    if facts.os_id == "debian":
        return _DEBIAN_BRANCHES.get(facts.os_version)
    return wanted if facts.os_id == "ubuntu" else None


def distribution_packages(facts: GpuHostFacts, branch: str, modules: KernelModules) -> PackageSet:
    """The distribution's own packages (Ubuntu or Debian)."""
    if facts.os_id == "debian":
        return PackageSet("distribution", branch, _debian_own(facts, modules))
    flavour = _ubuntu_kernel_flavour(facts)
    suffix = f"{branch}-server" + ("-open" if modules is KernelModules.OPEN else "")
    headless = f"nvidia-headless-{'no-dkms-' if flavour else ''}{suffix}"
    packages = [headless, f"nvidia-utils-{branch}-server"]
    if flavour:
        packages.append(f"linux-modules-nvidia-{suffix}-{flavour}")
    else:
        packages.append(f"linux-headers-{facts.kernel}")
    if facts.nvswitch:
        packages.append(f"nvidia-fabricmanager-{branch}")
    return PackageSet("distribution", branch, tuple(packages), signed_modules=flavour is not None)


def nvidia_packages(
    facts: GpuHostFacts, branch: str, modules: KernelModules, mirror: str, key: str
) -> PackageSet | None:
    """NVIDIA's own packages, or None when the key of the repository for this distribution is not known."""
    name = distribution_name(facts)
    if name is None or not (key or name in _REPOSITORY_KEYS):
        return None
    uri = f"{(mirror or NVIDIA_REPOSITORIES).rstrip('/')}/{name}/{_REPOSITORY_MACHINES[facts.machine]}"
    repository = Repository("nvidia-driver", f"{uri}/", key or f"{uri}/{_REPOSITORY_KEYS[name]}")
    is_open = modules is KernelModules.OPEN
    if facts.os_id == "debian":
        packages = [
            f"linux-headers-{_DEBIAN_ARCHITECTURES[facts.machine]}",
            "nvidia-driver-cuda",
            "nvidia-kernel-open-dkms" if is_open else "nvidia-kernel-dkms",
            "nvidia-persistenced",
        ]
    elif int(branch) >= 590:  # the branch left Ubuntu's package names
        packages = [
            f"linux-headers-{facts.kernel}",
            "libnvidia-compute",
            "nvidia-dkms-open" if is_open else "nvidia-dkms",
        ]
    else:
        packages = [
            f"linux-headers-{facts.kernel}",
            f"libnvidia-compute-{branch}",
            f"nvidia-dkms-{branch}" + ("-open" if is_open else ""),
            f"nvidia-utils-{branch}",
        ]
    if facts.nvswitch:
        packages.append("nvidia-fabricmanager")
    lock = (f"nvidia-driver-pinning-{branch}",)
    return PackageSet("nvidia", branch, tuple(packages), first=lock, repository=repository)


def installed_source(facts: GpuHostFacts) -> str | None:
    """Where the driver packages on the host came from: ``nvidia``, ``distribution``, or None when there are none."""
    driver = [(name, ver) for name, ver in facts.packages.items() if _DRIVER_PACKAGE.match(name)]
    if not driver:
        return None
    # Ubuntu's own versions end in -0ubuntuN, NVIDIA's builds for Ubuntu in -1ubuntu1.
    if any(_NVIDIA_PACKAGE.match(name) or ver.endswith("-1ubuntu1") for name, ver in driver):
        return "nvidia"
    return "distribution"


_DRIVER_PACKAGE = re.compile(
    r"(cuda-drivers|nvidia-(driver|smi|utils|headless|dkms|kernel|open|persistenced)|linux-modules-nvidia|libnvidia-compute)"
)
_NVIDIA_PACKAGE = re.compile(
    r"(cuda-drivers|nvidia-driver-cuda|nvidia-driver-pinning|nvidia-kernel-open-dkms|nvidia-open(-\d+)?$)"
)


def _debian_own(facts: GpuHostFacts, modules: KernelModules) -> tuple[str, ...]:
    return (
        f"linux-headers-{_DEBIAN_ARCHITECTURES[facts.machine]}",
        "nvidia-open-kernel-dkms" if modules is KernelModules.OPEN else "nvidia-kernel-dkms",
        "libcuda1",
        "nvidia-smi",
        "nvidia-persistenced",
    )


def _ubuntu_kernel_flavour(facts: GpuHostFacts) -> str | None:
    """How the name of Canonical's pre-built, signed modules for the running kernel ends; None for a foreign kernel."""
    match = re.fullmatch(r"(\d+\.\d+)\.\d+-\d{1,4}-([a-z]+(?:-64k)?)", facts.kernel)
    if not match:
        return None
    series, flavour = match.groups()
    hardware_enablement = series != _UBUNTU_GA_KERNELS[facts.os_version] and flavour in ("generic", "lowlatency")
    return f"{flavour}-hwe-{facts.os_version}" if hardware_enablement else flavour
