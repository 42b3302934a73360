"""Runs the read-only commands that `facts.parse` understands. Self-contained: a role also copies this file to hosts.

As a script it prints one JSON object, probe name → stdout, stderr, returncode (null: the host has no such command).
"""

from __future__ import annotations

import json
import subprocess
import sys

# The last entry is where nvidia-smi lies on WSL2.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/wsl/lib"
_SECURE_BOOT_VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_PACKAGE_PATTERNS = ("*nvidia*", "cuda-drivers*", "cuda-keyring")

PROBES: dict[str, tuple[str, ...]] = {
    "os_release": ("cat", "/etc/os-release"),
    "kernel": ("uname", "-rm"),
    # Only a kernel's own package makes this folder; headers and DKMS do not.
    "kernels": ("sh", "-c", "ls -d /lib/modules/*/kernel"),
    "desktop": ("systemctl", "is-active", "display-manager.service"),
    "pci": ("lspci", "-Dnn", "-d", "10de:"),
    "pci_sysfs": ("sh", "-c", "cat /sys/bus/pci/devices/*/uevent"),
    "smi": (
        "nvidia-smi",
        "--query-gpu=index,uuid,name,pci.device_id,memory.total,driver_version,mig.mode.current",
        "--format=csv,noheader,nounits",
    ),
    # By itself, because drivers before 510 reject a query that names compute_cap.
    "smi_capability": ("nvidia-smi", "--query-gpu=uuid,compute_cap", "--format=csv,noheader"),
    "smi_list": ("nvidia-smi", "-L"),
    "module_loaded": ("cat", "/proc/driver/nvidia/version"),
    "module_on_disk": ("modinfo", "nvidia"),
    "modules": ("lsmod",),
    "secure_boot": ("mokutil", "--sb-state"),
    "secure_boot_variable": ("od", "-An", "-tu1", "-j4", "-N1", _SECURE_BOOT_VARIABLE),
    # mokutil's exit status is inverted here, so only its sentence is read.
    "mok_key": (
        "sh",
        "-c",
        "for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do"
        ' if [ -e "$key" ]; then mokutil --test-key "$key"; fi; done; true',
    ),
    "virtualization": ("systemd-detect-virt",),
    "engine": ("docker", "version"),
    "deb_packages": ("dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Package} ${Version}\n", *_PACKAGE_PATTERNS),
    "runfile": ("ls", "/usr/bin/nvidia-uninstall"),
}

_SECONDS_PER_PROBE = 60  # nvidia-smi takes tens of seconds on hosts with many GPUs and no persistence daemon
_TIMED_OUT = 124


def collect() -> dict[str, dict[str, str | int | None]]:
    """Run every probe on this host, one after the other, in the C locale."""
    return {name: _run(command) for name, command in PROBES.items()}


def _run(command: tuple[str, ...]) -> dict[str, str | int | None]:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env={"PATH": _PATH, "LC_ALL": "C"},
            timeout=_SECONDS_PER_PROBE,
        )
    except FileNotFoundError:
        return {"stdout": "", "stderr": "", "returncode": None}
    except subprocess.TimeoutExpired:
        message = f"{command[0]} did not answer within {_SECONDS_PER_PROBE} s"
        return {"stdout": "", "stderr": message, "returncode": _TIMED_OUT}
    return {"stdout": done.stdout, "stderr": done.stderr, "returncode": done.returncode}


if __name__ == "__main__":
    json.dump(collect(), sys.stdout)
