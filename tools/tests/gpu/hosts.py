"""Writes what a host's commands would print, so that every profile also exercises the parsers."""

from __future__ import annotations

from dataclasses import dataclass

from samstudio.gpu import GpuHostFacts, Output, parse

CARDS = {
    "GTX 680": (0x1180, "3.0", 2048),
    "GTX 980": (0x13C0, "5.2", 4096),
    "GTX 1060": (0x1C03, "6.1", 6144),
    "GTX 1080": (0x1B80, "6.1", 8192),
    "P100": (0x15F8, "6.0", 16384),
    "V100": (0x1DB4, "7.0", 16384),
    "T4": (0x1EB8, "7.5", 15360),
    "RTX 2080 Ti": (0x1E07, "7.5", 11264),
    "GTX 1650": (0x1F82, "7.5", 4096),
    "MX 450": (0x1F97, "7.5", 2048),
    "A100": (0x20B0, "8.0", 40960),
    "RTX 3050 Laptop": (0x25A2, "8.6", 4096),
    "RTX 3090": (0x2204, "8.6", 24576),
    "A6000": (0x2230, "8.6", 49140),
    "L4": (0x27B8, "8.9", 23034),
    "RTX 4090": (0x2684, "8.9", 24564),
    "H100": (0x2330, "9.0", 81559),
    "H200": (0x2335, "9.0", 143771),
    "GH200": (0x2342, "9.0", 97871),
    "B200": (0x2901, "10.0", 183359),
    "RTX 5090": (0x2B85, "12.0", 32607),
    "RTX 9999": (0x3F00, "13.0", 65536),
}
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running."
)
SYSTEMS = {
    "debian12": ("debian", "12", "", "6.1.0-41-amd64"),
    "debian13": ("debian", "13", "", "6.12.57+deb13-amd64"),
    "ubuntu2204": ("ubuntu", "22.04", "debian", "5.15.0-160-generic"),
    "ubuntu2404": ("ubuntu", "24.04", "debian", "6.8.0-90-generic"),
    "ubuntu2604": ("ubuntu", "26.04", "debian", "7.0.0-12-generic"),
    "rocky9": ("rocky", "9.6", "rhel centos fedora", "5.14.0-570.el9.x86_64"),
    "mint22": ("linuxmint", "22", "ubuntu debian", "6.8.0-90-generic"),
    "arch": ("arch", "", "", "6.17.1-arch1-1"),
}


@dataclass(frozen=True)
class Host:
    """A host as a person would describe it.

    ``driver`` is the version nvidia-smi works with, ``unlisted`` how many of the last cards it does not show, ``mig``
    the slices (profile, UUID) of an A100 in MIG mode, ``lost`` the cards that nvidia-smi lists and cannot read,
    ``kernels`` those installed (empty: the one that runs).
    """

    system: str = "ubuntu2404"
    cards: tuple[str, ...] = ()
    driver: str = ""
    smi_error: str = ""
    kernel: str = ""
    kernels: tuple[str, ...] = ()
    desktop: bool = False
    machine: str = "x86_64"
    loaded_module: str = ""
    module_on_disk: str = ""
    nouveau: bool = False
    secure_boot: bool = False
    mok_enrolled: bool = False
    virtualization: str = "none"
    engine: str = "29.1.3"
    packages: tuple[tuple[str, str], ...] = ()
    runfile: bool = False
    nvswitches: int = 0
    mig: tuple[tuple[str, str], ...] | None = None
    has_lspci: bool = True
    on_bus: bool = True
    old_smi: bool = False
    unlisted: int = 0
    lost: tuple[int, ...] = ()

    def outputs(self) -> dict[str, Output]:
        """The output of every probe."""
        os_id, os_version, like, kernel = SYSTEMS[self.system]
        missing = Output(returncode=None)
        listed = list(self.cards[: len(self.cards) - self.unlisted]) if self.driver else []
        return {
            "os_release": Output(f'PRETTY_NAME="x"\nID={os_id}\nVERSION_ID="{os_version}"\nID_LIKE="{like}"\n'),
            "kernel": Output(f"{self.kernel or kernel} {self.machine}\n"),
            "kernels": Output(
                "".join(f"/lib/modules/{name}/kernel\n" for name in self.kernels or (self.kernel or kernel,))
            ),
            "desktop": Output("active\n") if self.desktop else Output("inactive\n", "", 3),
            "pci": Output(self._lspci()) if self.has_lspci else missing,
            "pci_sysfs": Output(self._uevents()),
            "smi": self._smi(listed),
            "smi_capability": self._capability(listed),
            "smi_list": Output(self._listing(listed), "", 0 if listed else 9),
            "module_loaded": Output(
                f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {self.loaded_module}  Release Build\n"
                if self.loaded_module
                else "",
                "",
                0 if self.loaded_module else 1,
            ),
            "module_on_disk": Output(f"filename: /lib/nvidia.ko\nversion:        {self.module_on_disk}\nlicense: x\n")
            if self.module_on_disk
            else Output("", "modinfo: ERROR: Module nvidia not found.", 1),
            "modules": Output("Module  Size  Used by\next4  9 1\n" + ("nouveau  9 1\n" if self.nouveau else "")),
            "secure_boot": Output("SecureBoot enabled\n" if self.secure_boot else "SecureBoot disabled\n"),
            "mok_key": Output("/var/lib/dkms/mok.pub is already enrolled\n" if self.mok_enrolled else ""),
            "virtualization": Output(f"{self.virtualization}\n", "", 1 if self.virtualization == "none" else 0),
            "engine": Output(
                "Client:\n Version:           99.0.0\n\n"
                + (f"Server: Docker Engine\n Engine:\n  Version:          {self.engine}\n" if self.engine else ""),
                "",
                0 if self.engine else 1,
            ),
            "deb_packages": Output("".join(f"ii  {name} {version}\n" for name, version in self.packages)),
            "runfile": Output("/usr/bin/nvidia-uninstall\n") if self.runfile else Output("", "", 2),
        }

    def facts(self) -> GpuHostFacts:
        return parse(self.outputs())

    def _devices(self) -> list[tuple[str, int, str]]:
        if not self.on_bus:
            return []
        cards = [(f"0000:{n + 1:02x}:00.0", CARDS[card][0], "0300") for n, card in enumerate(self.cards)]
        switches = [(f"0000:{n + 0x80:02x}:00.0", 0x22A3, "0680") for n in range(self.nvswitches)]
        audio = [("0000:01:00.1", 0x1AEF, "0403")] if self.cards else []
        return cards + switches + audio

    def _lspci(self) -> str:
        return "".join(
            f"{slot} Some controller [{kind}]: NVIDIA Corporation GXnnn [Name [x]] [10de:{device:04x}] (rev a1)\n"
            for slot, device, kind in self._devices()
        )

    def _uevents(self) -> str:
        intel = "PCI_CLASS=30000\nPCI_ID=8086:9A49\nPCI_SUBSYS_ID=1028:0A1F\nPCI_SLOT_NAME=0000:00:02.0\n"
        return intel + "".join(
            f"DRIVER=x\nPCI_CLASS={int(kind, 16):X}00\nPCI_ID=10DE:{device:04X}\nPCI_SUBSYS_ID=10DE:1\n"
            f"PCI_SLOT_NAME={slot}\nMODALIAS=pci:v\n"
            for slot, device, kind in self._devices()
        )

    def _smi(self, listed: list[str]) -> Output:
        if self.smi_error:
            return Output(self.smi_error + "\n", "", 18 if "mismatch" in self.smi_error else 9)
        if not listed:
            return Output(returncode=None)
        mig = "Disabled" if self.mig is None else "Enabled"
        rows = (
            f"{n}, GPU-{n}, NVIDIA {card}, 0x{CARDS[card][0]:04X}10DE, {CARDS[card][2]}, {self.driver}, "
            f"{mig if card in ('A100', 'H100', 'H200') else '[N/A]'}\n"
            if n not in self.lost
            else f"{n}, GPU-{n}, NVIDIA {card}, [GPU is lost], [GPU is lost], {self.driver}, [GPU is lost]\n"
            for n, card in enumerate(listed)
        )
        return Output("".join(rows), "", 15 if self.lost else 0)

    def _capability(self, listed: list[str]) -> Output:
        if self.old_smi:
            return Output('Field "compute_cap" is not a valid field to query.\n', "", 2)
        rows = (
            f"GPU-{n}, {CARDS[card][1] if n not in self.lost else '[GPU is lost]'}\n" for n, card in enumerate(listed)
        )
        return Output("".join(rows), "", 15 if self.lost else 0)

    def _listing(self, listed: list[str]) -> str:
        lines = ""
        for n, card in enumerate(listed):
            lines += f"GPU {n}: NVIDIA {card} (UUID: GPU-{n})\n"
            if card == "A100":
                lines += "".join(
                    f"  MIG {profile}     Device  {i}: (UUID: {uuid})\n"
                    for i, (profile, uuid) in enumerate(self.mig or ())
                )
        return lines
