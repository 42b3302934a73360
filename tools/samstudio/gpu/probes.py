"""The read-only commands whose output `facts.parse` understands; a role or the command line runs them."""

from __future__ import annotations

# nvidia-smi lies outside the default path on WSL2.
_NVIDIA_SMI = (
    "env",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/wsl/lib",
    "nvidia-smi",
)
_SECURE_BOOT_VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_PACKAGE_PATTERNS = ("*nvidia*", "cuda-drivers*", "cuda-keyring")

PROBES: dict[str, tuple[str, ...]] = {
    "os_release": ("cat", "/etc/os-release"),
    "kernel": ("uname", "-rm"),
    "pci": ("lspci", "-Dnn", "-d", "10de:"),
    "pci_sysfs": ("sh", "-c", "cat /sys/bus/pci/devices/*/uevent"),
    "smi": (
        *_NVIDIA_SMI,
        "--query-gpu=index,uuid,name,pci.device_id,memory.total,driver_version,mig.mode.current",
        "--format=csv,noheader,nounits",
    ),
    # By itself, because drivers before 510 reject a query that names compute_cap.
    "smi_capability": (*_NVIDIA_SMI, "--query-gpu=uuid,compute_cap", "--format=csv,noheader"),
    "smi_list": (*_NVIDIA_SMI, "-L"),
    "module_loaded": ("cat", "/proc/driver/nvidia/version"),
    "module_on_disk": ("modinfo", "nvidia"),
    "modules": ("cat", "/proc/modules"),
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
    "rpm_packages": ("rpm", "-qa", "--qf=ii %{NAME} %{VERSION}-%{RELEASE}\n", *_PACKAGE_PATTERNS),
    "runfile": ("ls", "/usr/bin/nvidia-uninstall"),
}
