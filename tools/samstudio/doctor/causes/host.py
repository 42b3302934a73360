"""The machine: clock, disk, GPU."""

from __future__ import annotations

from samstudio.doctor.cause import Cause

CLOCK = Cause(
    "clock-skew", "clock", ("The token is not yet valid", "Token is invalid or expired"),
    "The clocks of this machine and {who} differ by {seconds} s; tokens live by the clock.",
    "timedatectl set-ntp true (on both)",
)  # fmt: skip
DISK = Cause(
    "disk-full", "disk", ("No space left on device", "database or disk is full"),
    "{path} has {free} free.",
    "docker system df; remove what you do not need, or move /var/lib/samstudio to a larger disk",
)  # fmt: skip
GPU_BROKEN = Cause(
    "gpu-driver-broken", "gpu", ("Driver/library version mismatch", "NVIDIA-SMI has failed"),
    "The NVIDIA driver does not answer: {said}.",
    "reboot; if it stays: ./samstudio deploy",
)  # fmt: skip
GPU_UNUSED = Cause(
    "gpu-unused", "gpu", (),
    "This machine has {gpu} (driver {driver}), but the backend computes on {device} (torch {torch}).",
    "./samstudio deploy, which installs the container toolkit and the matching torch",
)  # fmt: skip
