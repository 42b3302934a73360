"""How containers get at the GPU: which toolkit packages, CDI or the runtime hook, and what daemon.json needs for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .compatibility import version
from .driver_packages import Repository
from .driver_plan import Action
from .facts import GpuHostFacts

TOOLKIT_REPOSITORY = "https://nvidia.github.io/libnvidia-container"
PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
#: Engines know CDI from 25.0 on, but those before 28.2 start their containers before they have read the CDI devices
#: (moby issue 49989, mended by pull request 49990): after a reboot such a container stays down.
_CDI_FIRST = (28, 2)
_CDI_BY_DEFAULT = (28, 3)
_DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ToolkitSettings:
    """What an admin may choose. ``repository`` is a mirror of NVIDIA's, ``key`` the key that signs it."""

    version: str = "1.20.0"
    repository: str = ""
    key: str = ""


@dataclass(frozen=True)
class ToolkitPlan:
    """``mode`` is cdi or runtime; ``daemon`` is merged into daemon.json.

    ``gpu_ready`` is false while the driver waits for a reboot: the CDI specification is then made at boot.
    """

    action: Action
    reason: str
    advice: str = ""
    mode: str = ""
    version: str = ""
    packages: tuple[str, ...] = ()
    repository: Repository | None = None
    daemon: Mapping[str, Any] = field(default_factory=dict)
    daemon_check: tuple[str, ...] = ()
    gpu_ready: bool = True


def toolkit_plan(facts: GpuHostFacts, settings: ToolkitSettings | None = None) -> ToolkitPlan:
    """Decide about the NVIDIA Container Toolkit: engines from 28.2 on use CDI, older ones the toolkit's runtime."""
    settings = settings or ToolkitSettings()
    if not facts.has_nvidia:
        return ToolkitPlan(Action.SKIP, "No NVIDIA GPU on this host; the container toolkit is not needed.")
    if facts.engine_version is None:
        return ToolkitPlan(
            Action.STOP,
            "No container engine answers (`docker version` names no server).",
            "Install and start it first: role docker_engine, or `systemctl start docker`.",
        )
    if not {facts.os_id, *facts.os_like} & {"debian", "ubuntu"} or facts.machine not in _DEBIAN_ARCHITECTURES:
        return ToolkitPlan(
            Action.STOP,
            f"No toolkit packages for {facts.os_id} {facts.os_version} on {facts.machine}. Expected: a relative "
            "of Debian or Ubuntu on x86_64 or aarch64.",
            "Install nvidia-container-toolkit by your system's own means.",
        )
    engine = version(facts.engine_version)
    present = facts.packages.get("nvidia-container-toolkit", "")
    keep = _is_new_enough(facts, settings.version)
    return ToolkitPlan(
        Action.NONE if keep else Action.INSTALL,
        f"{_packages_reason(present, keep, settings.version)} {_engine_reason(facts.engine_version)}",
        "" if facts.smi.works else "The driver does not answer yet; the CDI specification is made at the next boot.",
        mode=container_mode(facts),
        version=settings.version,
        packages=tuple(f"{package}={settings.version}-1" for package in PACKAGES),
        repository=_repository(facts, settings),
        daemon=_daemon(engine),
        daemon_check=_daemon_check(engine),
        gpu_ready=facts.smi.works,
    )


def container_mode(facts: GpuHostFacts) -> str:
    """How a container of this host gets its GPU: ``cdi``, ``runtime``, or nothing where there is no GPU or no engine.

    The engine's version decides alone, so that every role that asks gets the same answer.
    """
    if not facts.has_nvidia or facts.engine_version is None:
        return ""
    return "cdi" if version(facts.engine_version) >= _CDI_FIRST else "runtime"


def container_options(plan_mode: str, device: str) -> dict[str, Any]:
    """Arguments of ``community.docker.docker_container`` that give a container one device (a UUID, or ``all``).

    The environment of the runtime mode has to be merged with the container's own.
    """
    if plan_mode == "cdi":
        return {"device_requests": [{"driver": "cdi", "device_ids": [f"nvidia.com/gpu={device}"]}]}
    if plan_mode == "runtime":
        environment = {"NVIDIA_VISIBLE_DEVICES": device, "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
        return {"runtime": "nvidia", "env": environment}
    raise ValueError(f"mode {plan_mode!r} gives no access to a GPU; expected cdi or runtime")


def _is_new_enough(facts: GpuHostFacts, wanted: str) -> bool:
    """All four packages at the wanted version or a newer one: what works is not downgraded."""
    return all(version(facts.packages.get(package, "")) >= version(wanted) for package in PACKAGES)


def _repository(facts: GpuHostFacts, settings: ToolkitSettings) -> Repository:
    base = (settings.repository or TOOLKIT_REPOSITORY).rstrip("/")
    uri = f"{base}/stable/deb/{_DEBIAN_ARCHITECTURES[facts.machine]}/"
    return Repository("nvidia-container-toolkit", uri, settings.key or f"{base}/gpgkey")


def _daemon(engine: tuple[int, ...]) -> dict[str, Any]:
    if engine < _CDI_FIRST:
        return {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}
    return {"features": {"cdi": True}} if engine < _CDI_BY_DEFAULT else {}


def _daemon_check(engine: tuple[int, ...]) -> tuple[str, ...]:
    """How to check a new daemon.json before it replaces the old one; engines before 23 cannot do it themselves."""
    if engine >= (23,):
        return ("dockerd", "--validate", "--config-file", "%s")
    return ("python3", "-m", "json.tool", "%s")


def _packages_reason(present: str, keep: bool, wanted: str) -> str:
    if keep:
        return f"Container toolkit {present} is there."
    return f"Container toolkit {present} becomes {wanted}." if present else f"Container toolkit {wanted} is installed."


def _engine_reason(engine: str) -> str:
    number = version(engine)
    if number < _CDI_FIRST:
        return (
            f"Engine {engine} cannot start containers with CDI devices at boot (28.2 and later can): "
            "the nvidia runtime is added to daemon.json."
        )
    if number < _CDI_BY_DEFAULT:
        return f"Engine {engine} uses CDI once daemon.json turns it on (features.cdi)."
    return f"Engine {engine} uses CDI by itself; daemon.json stays as it is."
