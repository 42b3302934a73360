"""The host profiles: for each one the three decisions and what their sentences must say."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from samstudio.gpu import Action, DriverSettings, driver_plan, toolkit_plan, torch_plan
from samstudio.gpu.compatibility import CHIPS, chip_of
from samstudio.gpu.driver_plan import Reboot

from .hosts import CARDS, MISMATCH, NO_DRIVER, SYSTEMS, Host

DEBIAN_OWN = (("nvidia-kernel-dkms", "535.247.01-1~deb12u1"), ("nvidia-smi", "535.247.01-1~deb12u1"))
NVIDIA_DEBIAN = (("nvidia-driver-cuda", "580.95.05-1"), ("nvidia-kernel-open-dkms", "580.95.05-1"))
REBOOTS = DriverSettings(reboot=True)
UBUNTU_SERVER = (
    ("nvidia-headless-no-dkms-580-server-open", "580.95.05-0ubuntu0.24.04.1"),
    ("linux-modules-nvidia-580-server-open-generic", "6.8.0-90.91"),
)
NVIDIA_UBUNTU = (("libnvidia-compute-580", "580.95.05-1ubuntu1"), ("nvidia-utils-580", "580.95.05-1ubuntu1"))


@dataclass(frozen=True)
class Profile:
    """``says``: parts of the driver plan's reason and advice; ``workers``: model size per worker."""

    host: Host
    driver: str
    says: tuple[str, ...]
    index: str = "cpu"
    workers: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    settings: DriverSettings | None = None
    reboot: str = "none"
    torch_says: tuple[str, ...] = ()


OLD_MODULE_LOADED = Host(
    cards=("RTX 3090",),
    smi_error=MISMATCH,
    loaded_module="580.82.07",
    module_on_disk="580.95.05",
    packages=UBUNTU_SERVER,
)
HELD_BY_NOUVEAU = Host(
    "debian12",
    ("RTX 3090",),
    smi_error=NO_DRIVER,
    nouveau=True,
    module_on_disk="580.95.05",
    packages=NVIDIA_DEBIAN,
)
PROFILES = {
    # The driver works: nothing is touched.
    "GTX 1080, driver 535": Profile(
        Host("debian12", ("GTX 1080",), "535.247.01"),
        "none",
        ("535.247.01 works", "nothing is touched"),
        "cu126",
        ("large",),
    ),
    "GTX 1080, driver 580 still means CUDA 12.6": Profile(
        Host("debian12", ("GTX 1080",), "580.95.05"), "none", ("works",), "cu126", ("large",)
    ),
    "V100, driver 580": Profile(Host(cards=("V100",), driver="580.95.05"), "none", ("works",), "cu126", ("large",)),
    "T4 virtual machine, driver 550": Profile(
        Host("ubuntu2204", ("T4",), "550.163.01", virtualization="kvm"), "none", ("works",), "cu126", ("large",)
    ),
    "T4, driver 580": Profile(Host(cards=("T4",), driver="580.95.05"), "none", ("works",), "cu130", ("large",)),
    "RTX 2080 Ti, driver 570": Profile(
        Host(cards=("RTX 2080 Ti",), driver="570.195.03"), "none", ("works",), "cu126", ("large",)
    ),
    "GTX 1650 with 4 GiB": Profile(
        Host(cards=("GTX 1650",), driver="580.95.05"), "none", ("works",), "cu130", ("base_plus",)
    ),
    "MX 450 with 2 GiB": Profile(Host(cards=("MX 450",), driver="580.95.05"), "none", ("works",), "cu130", ("tiny",)),
    "RTX 4090, driver 580": Profile(
        Host("debian13", ("RTX 4090",), "580.95.05"),
        "none",
        ("works",),
        "cu130",
        ("large",),
        torch_says=("torch 2.13.0", "CUDA 13.0", "compute capability 8.9"),
    ),
    "RTX 5090, driver 570: the last CUDA 12.8 build": Profile(
        Host(cards=("RTX 5090",), driver="570.195.03"),
        "none",
        ("works",),
        "cu128",
        ("large",),
        torch_says=("torch 2.11.0",),
    ),
    "RTX 5090, driver 580": Profile(Host(cards=("RTX 5090",), driver="580.95.05"), "none", (), "cu130", ("large",)),
    "H100, driver 535": Profile(Host(cards=("H100",), driver="535.247.01"), "none", (), "cu128", ("large",)),
    "H100, driver 580": Profile(Host(cards=("H100",), driver="580.95.05"), "none", (), "cu130", ("large",)),
    "eight H200 with NVSwitch": Profile(
        Host(cards=("H200",) * 8, driver="580.95.05", nvswitches=4), "none", ("works",), "cu130", ("large",) * 8
    ),
    "B200, driver 580": Profile(Host(cards=("B200",), driver="580.95.05"), "none", (), "cu130", ("large",)),
    "GH200 on aarch64": Profile(
        Host(cards=("GH200",), driver="580.95.05", machine="aarch64", kernel="6.8.0-1043-nvidia-64k"),
        "none",
        (),
        "cu130",
        ("large",),
    ),
    "T4 on aarch64: no wheel": Profile(
        Host(cards=("T4",), driver="580.95.05", machine="aarch64"),
        "none",
        ("works",),
        "cpu",
        torch_says=("no torch build serves NVIDIA T4",),
    ),
    "A100 with MIG slices": Profile(
        Host(cards=("A100",), driver="580.95.05", mig=(("3g.20gb", "MIG-a"), ("1g.5gb", "MIG-b"))),
        "none",
        (),
        "cu130",
        ("large", "base_plus"),
        torch_says=("MIG 3g.20gb",),
    ),
    "A100 in MIG mode without slices": Profile(
        Host(cards=("A100",), driver="580.95.05", mig=()),
        "none",
        (),
        "cpu",
        torch_says=("no usable GPU", "without instances", "nvidia-smi mig -cgi"),
    ),
    "RTX 3090 and GTX 1080 share a host: one build for both": Profile(
        Host(cards=("RTX 3090", "GTX 1080"), driver="580.95.05"), "none", (), "cu126", ("large", "large")
    ),
    "RTX 5090 and GTX 1060: the older one is left out": Profile(
        Host(cards=("RTX 5090", "GTX 1060"), driver="580.95.05"),
        "none",
        (),
        "cu130",
        ("large",),
        torch_says=("NVIDIA GTX 1060 is left out",),
    ),
    "RTX 5090 added to a host with driver 535": Profile(
        Host(cards=("RTX 3090", "RTX 5090"), driver="535.247.01", unlisted=1),
        "none",
        ("1 of 2 GPUs on the bus are not listed", "too new or too old for driver 535"),
        "cu126",
        ("large",),
    ),
    "driver 470 works, but is too old for any CUDA build": Profile(
        Host("ubuntu2204", ("RTX 3090",), "470.256.02", old_smi=True),
        "none",
        ("470.256.02 works", "525.60.13"),
        "cpu",
        torch_says=("older than 525.60.13", "Upgrade the driver"),
    ),
    "GPU container without lspci, driver of its host": Profile(
        Host("debian12", ("A6000",), "580.95.05", virtualization="docker", has_lspci=False),
        "none",
        ("works",),
        "cu130",
        ("large",),
    ),
    "WSL2 with the Windows driver": Profile(
        Host(
            "ubuntu2404",
            ("RTX 4090",),
            "581.42",
            kernel="6.6.87.2-microsoft-standard-WSL2",
            virtualization="wsl",
            on_bus=False,
        ),
        "none",
        ("WSL2", "Windows", "nothing to install"),
        "cu130",
        ("large",),
    ),
    # Nothing to do here.
    "WSL2 without a driver": Profile(
        Host("ubuntu2404", kernel="6.6.87.2-microsoft-standard-WSL2", virtualization="wsl"),
        "skip",
        ("belongs to Windows", "Never install a Linux driver"),
    ),
    "no NVIDIA card": Profile(Host("debian12"), "skip", ("No NVIDIA GPU on the PCI bus of this host; skipped.",)),
    "virtual machine without a GPU": Profile(
        Host(virtualization="kvm"), "skip", ("virtual machine (kvm)", "pass the GPU through")
    ),
    "tools left behind, card gone": Profile(Host(smi_error="No devices were found"), "skip", ("check slot and power",)),
    "GTX 680": Profile(Host(cards=("GTX 680",)), "skip", ("Kepler", "too old", "runs on the CPU")),
    # Installation.
    "GTX 1080 without driver, Debian 12": Profile(
        Host("debian12", ("GTX 1080",)),
        "install",
        ("Pascal", "proprietary", "NVIDIA's repository"),
        "cu126",
        packages=("nvidia-driver-pinning-580", "nvidia-kernel-dkms", "nvidia-driver-cuda", "linux-headers-amd64"),
    ),
    "V100 without driver, Ubuntu 22.04": Profile(
        Host("ubuntu2204", ("V100",)),
        "install",
        ("Volta", "proprietary", "signed by Canonical"),
        "cu126",
        packages=("nvidia-headless-no-dkms-580-server", "linux-modules-nvidia-580-server-generic"),
    ),
    "GTX 980, Debian 13": Profile(
        Host("debian13", ("GTX 980",)), "install", ("Maxwell", "proprietary"), "cu126", packages=("nvidia-kernel-dkms",)
    ),
    "RTX 3090 with nouveau loaded, Ubuntu 24.04": Profile(
        Host(cards=("RTX 3090",), nouveau=True),
        "install",
        ("Ampere", "open", "works after a reboot"),
        "cu130",
        packages=("nvidia-headless-no-dkms-580-server-open", "linux-modules-nvidia-580-server-open-generic"),
        settings=REBOOTS,
        reboot="now",
    ),
    "RTX 4090 with Secure Boot, Ubuntu 24.04: signed modules": Profile(
        Host(cards=("RTX 4090",), secure_boot=True),
        "install",
        ("signed by Canonical",),
        "cu130",
        packages=("nvidia-utils-580-server",),
    ),
    "RTX 4090 with Secure Boot, Debian 13: stop": Profile(
        Host("debian13", ("RTX 4090",), secure_boot=True),
        "stop",
        ("Secure Boot is on", "Nothing was changed", "mokutil --import /var/lib/dkms/mok.pub", "Enroll MOK", "SSH"),
    ),
    "RTX 4090 with Secure Boot, Debian 13, key enrolled": Profile(
        Host("debian13", ("RTX 4090",), secure_boot=True, mok_enrolled=True),
        "install",
        ("open",),
        "cu130",
        packages=("nvidia-kernel-open-dkms",),
    ),
    "RTX 4090 with Secure Boot, Ubuntu with a foreign kernel: stop": Profile(
        Host(cards=("RTX 4090",), kernel="6.15.0-061500-generic", secure_boot=True), "stop", ("MOK.der",)
    ),
    "RTX 5090 without driver, Ubuntu 26.04": Profile(
        Host("ubuntu2604", ("RTX 5090",)),
        "install",
        ("Blackwell", "open"),
        "cu130",
        packages=("linux-modules-nvidia-580-server-open-generic",),
    ),
    "RTX 5090 on Debian's own branch: stop": Profile(
        Host("debian12", ("RTX 5090",)),
        "stop",
        ("branch 535 is too old for Blackwell", "nvidia_driver_source: auto"),
        settings=DriverSettings(source="distribution"),
    ),
    "L4 in the cloud, Ubuntu kernel for AWS": Profile(
        Host(cards=("L4",), kernel="6.8.0-1040-aws", virtualization="amazon"),
        "install",
        ("Ada",),
        "cu130",
        packages=("linux-modules-nvidia-580-server-open-aws",),
    ),
    "hybrid laptop, hardware enablement kernel": Profile(
        Host(cards=("RTX 3050 Laptop",), kernel="6.14.0-36-generic", nouveau=True, has_lspci=False),
        "install",
        ("Ampere", "reboot"),
        "cu130",
        packages=("linux-modules-nvidia-580-server-open-generic-hwe-24.04",),
        settings=REBOOTS,
        reboot="now",
    ),
    "H100 with NVSwitch, Ubuntu 22.04": Profile(
        Host("ubuntu2204", ("H100",), nvswitches=4),
        "install",
        ("fabric manager",),
        "cu130",
        packages=("nvidia-fabricmanager-580",),
    ),
    "A100, Debian 12, Debian's own packages on request": Profile(
        Host("debian12", ("A100",)),
        "install",
        ("branch 535", "debian's own packages"),
        "cu126",
        packages=("nvidia-open-kernel-dkms", "libcuda1", "nvidia-smi"),
        settings=DriverSettings(source="distribution"),
    ),
    "Ubuntu 24.04, NVIDIA's repository on request": Profile(
        Host(cards=("RTX 4090",)),
        "install",
        ("NVIDIA's repository",),
        "cu130",
        packages=("nvidia-driver-pinning-580", "libnvidia-compute-580", "nvidia-dkms-580-open", "nvidia-utils-580"),
        settings=DriverSettings(source="nvidia"),
    ),
    "card newer than the table": Profile(
        Host(cards=("RTX 9999",)),
        "install",
        ("unknown chip", "open"),
        "cpu",
        torch_says=("no torch build knows",),
        packages=("nvidia-headless-no-dkms-580-server-open",),
    ),
    "GTX 680 beside RTX 3090": Profile(
        Host(cards=("GTX 680", "RTX 3090")), "install", ("open", "1 older GPU in this host stays unused"), "cu130"
    ),
    # Something is there and broken.
    "library upgraded, old module loaded": Profile(
        OLD_MODULE_LOADED,
        "reboot",
        ("580.82.07", "version mismatch", "A reboot loads the new module"),
        "cu130",
        settings=REBOOTS,
        reboot="now",
    ),
    "driver installed, nouveau holds the card": Profile(
        HELD_BY_NOUVEAU,
        "reboot",
        ("nouveau still holds the GPU",),
        "cu130",
        settings=REBOOTS,
        reboot="now",
    ),
    "driver present but broken: module missing for this kernel": Profile(
        Host("debian12", ("RTX 3090",), smi_error=NO_DRIVER, packages=NVIDIA_DEBIAN),
        "install",
        ("present but broken", "couldn't communicate", "NVIDIA's repository"),
        "cu130",
        packages=("linux-headers-amd64",),
    ),
    "Debian's driver broken: repaired with Debian's, never mixed": Profile(
        Host("debian12", ("RTX 3090",), smi_error=NO_DRIVER, packages=DEBIAN_OWN),
        "install",
        ("branch 535", "debian's own packages"),
        "cu126",
        packages=("nvidia-open-kernel-dkms",),
    ),
    "Debian's driver broken, NVIDIA's wanted: stop": Profile(
        Host("debian12", ("RTX 3090",), smi_error=NO_DRIVER, packages=DEBIAN_OWN),
        "stop",
        ("must not be mixed", "purge"),
        settings=DriverSettings(source="nvidia"),
    ),
    "NVIDIA's driver on Ubuntu broken: stays NVIDIA's": Profile(
        Host(cards=("RTX 3090",), smi_error=NO_DRIVER, packages=NVIDIA_UBUNTU),
        "install",
        ("NVIDIA's repository",),
        "cu130",
        packages=("nvidia-dkms-580-open",),
    ),
    "broken .run installation": Profile(
        Host(cards=("RTX 3090",), smi_error=NO_DRIVER, runfile=True), "stop", (".run installer", "nvidia-uninstall")
    ),
    # What takes something from a person who has not agreed.
    "nouveau loaded, nobody said whether the host may reboot": Profile(
        Host(cards=("RTX 3090",), nouveau=True),
        "stop",
        ("nobody said", "nvidia_driver_reboot=true", "without the GPU"),
    ),
    "nouveau loaded, reboot refused: the CPU until then": Profile(
        Host(cards=("RTX 3090",), nouveau=True),
        "install",
        ("Ampere",),
        settings=DriverSettings(reboot=False),
        reboot="later",
    ),
    "nouveau loaded, this very machine": Profile(
        Host(cards=("RTX 3090",), nouveau=True),
        "stop",
        ("cannot reboot the machine that it runs on", "nvidia_driver_reboot=false", "reboot by hand", "to the GPU"),
        settings=DriverSettings(reboot=True, local=True),
    ),
    "driver waits for a boot, this very machine": Profile(
        OLD_MODULE_LOADED,
        "stop",
        ("cannot reboot the machine that it runs on", "Reboot by hand (systemctl reboot), then run the same command"),
        settings=DriverSettings(reboot=True, local=True),
    ),
    "driver waits for a boot, nobody said": Profile(
        HELD_BY_NOUVEAU,
        "stop",
        ("nouveau still holds the GPU", "Reboot by hand", "nvidia_driver_reboot=true"),
    ),
    "a desktop runs": Profile(
        Host("debian13", ("RTX 3090",), desktop=True),
        "stop",
        ("display-manager.service", "draws nothing", "ubuntu-drivers install", "nvidia_driver_despite_desktop=true"),
    ),
    "a desktop runs, accepted": Profile(
        Host("debian13", ("RTX 3090",), desktop=True),
        "install",
        ("Ampere",),
        "cu130",
        settings=DriverSettings(despite_desktop=True),
    ),
    "a desktop runs on a driver that works": Profile(
        Host(cards=("RTX 4090",), driver="580.95.05", desktop=True),
        "none",
        ("works",),
        "cu130",
        ("large",),
    ),
    "a newer kernel waits for its boot": Profile(
        Host("debian12", ("RTX 3090",), kernels=("6.1.0-9-amd64", "6.1.0-41-amd64", "6.1.0-42-amd64")),
        "stop",
        ("6.1.0-41-amd64 runs, 6.1.0-42-amd64 is installed", "Reboot first (systemctl reboot)"),
    ),
    "a newer kernel of another flavour does not matter": Profile(
        Host("debian12", ("RTX 3090",), kernels=("6.1.0-9-amd64", "6.1.0-41-amd64", "6.1.0-42-cloud-amd64")),
        "install",
        ("Ampere",),
        "cu130",
    ),
    "a newer kernel does not matter to a driver that works": Profile(
        Host(cards=("RTX 4090",), driver="580.95.05", kernels=("6.8.0-90-generic", "6.8.0-91-generic")),
        "none",
        ("works",),
        "cu130",
        ("large",),
    ),
    # What cannot be done.
    "GPU passed to a container, no driver on its host": Profile(
        Host("debian12", ("RTX 3090",), virtualization="lxc"), "stop", ("host of this container (lxc)",)
    ),
    "Linux Mint": Profile(
        Host("mint22", ("RTX 3090",)), "stop", ("linuxmint 22", "Expected: Ubuntu 22.04", "Debian 12, 13 on")
    ),
    "Rocky": Profile(Host("rocky9", ("T4",)), "stop", ("rocky 9.6", "your system's own means")),
    "Arch": Profile(Host("arch", ("RTX 3090",)), "stop", ("your system's own means",)),
    "POWER": Profile(Host("ubuntu2404", ("V100",), machine="ppc64le"), "stop", ("ppc64le",)),
    "GTX 1080 with branch 590 asked for": Profile(
        Host("debian12", ("GTX 1080",)),
        "stop",
        ("590 no longer knows Pascal", 'nvidia_driver_branch: "580"'),
        settings=DriverSettings(branch="590"),
    ),
    "RTX 5090 beside GTX 1080, no driver": Profile(
        Host(cards=("RTX 5090", "GTX 1080")), "stop", ("Blackwell and Pascal", "Take one of the cards out")
    ),
    "Ubuntu 26.04, NVIDIA's repository without its key": Profile(
        Host("ubuntu2604", ("T4",)), "stop", ("nvidia_driver_repository_key",), settings=DriverSettings(source="nvidia")
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_driver_decision_and_what_it_says(name: str) -> None:
    profile = PROFILES[name]
    plan = driver_plan(profile.host.facts(), profile.settings)
    said = f"{plan.reason} {plan.advice}"
    assert plan.action.value == profile.driver, said
    for part in profile.says:
        assert part in said
    installed = (*plan.packages.first, *plan.packages.packages) if plan.packages else ()
    assert set(profile.packages) <= set(installed), installed
    assert plan.reboot.value == profile.reboot


@pytest.mark.parametrize("name", PROFILES)
def test_the_torch_build_and_the_workers(name: str) -> None:
    profile = PROFILES[name]
    facts = profile.host.facts()
    plan = torch_plan(facts, driver=driver_plan(facts, profile.settings))
    said = f"{plan.reason} {plan.advice}"
    assert plan.index == profile.index, said
    assert tuple(worker.model_size for worker in plan.workers) == profile.workers, said
    assert plan.device == ("cpu" if profile.index == "cpu" else "cuda")
    for part in profile.torch_says:
        assert part in said


@pytest.mark.parametrize("name", PROFILES)
def test_the_toolkit_follows_the_hardware(name: str) -> None:
    facts = PROFILES[name].host.facts()
    plan = toolkit_plan(facts)
    if not facts.has_nvidia:
        assert plan.action.value == "skip"
    elif facts.os_id in ("arch", "rocky") or facts.machine == "ppc64le":
        assert plan.action.value == "stop"
    else:
        assert (plan.action.value, plan.mode, plan.gpu_ready) == ("install", "cdi", facts.smi.works)


def test_every_generation_system_and_decision_has_a_profile() -> None:
    chips = [chip_of(CARDS[card][0]) for profile in PROFILES.values() for card in profile.host.cards]
    assert {chip.architecture for chip in chips if chip} == {chip.architecture for chip in CHIPS}
    assert None in chips, "no card that the table does not know"
    assert {profile.host.system for profile in PROFILES.values()} == set(SYSTEMS)
    assert {profile.driver for profile in PROFILES.values()} == {action.value for action in Action}
    assert {profile.reboot for profile in PROFILES.values()} == {reboot.value for reboot in Reboot}
