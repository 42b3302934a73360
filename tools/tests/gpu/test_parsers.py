"""Raw output to facts, where the profiles do not already show it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest
from samstudio.gpu import PROBES, Output, parse
from samstudio.gpu.compatibility import CHIPS, Chip, chip_of, version

from .hosts import Host


def test_nothing_answered_is_a_host_about_which_nothing_is_known() -> None:
    facts = parse({})
    assert (facts.os_id, facts.pci, facts.engine_version, facts.has_nvidia) == ("unknown", (), None, False)


#: A host of which every probe has something to tell; the id of its second card is in no table.
TELLING = Host(
    cards=("A100", "RTX 9999"),
    driver="580.95.05",
    loaded_module="580.95.05",
    module_on_disk="580.95.05",
    desktop=True,
    nouveau=True,
    secure_boot=True,
    mok_enrolled=True,
    virtualization="kvm",
    packages=(("nvidia-driver", "580.95.05-1"),),
    runfile=True,
    mig=(("3g.20gb", "MIG-1"),),
)
#: A probe whose answer counts only where another one has none.
INSTEAD_OF = {"pci_sysfs": "pci", "secure_boot_variable": "secure_boot"}


@pytest.mark.parametrize("probe", PROBES)
def test_what_a_probe_says_is_among_the_facts(probe: str) -> None:
    outputs = {**TELLING.outputs(), "secure_boot_variable": Output("   1\n")}
    silent = [name for name in PROBES if name == INSTEAD_OF.get(probe) or INSTEAD_OF.get(name) == probe]
    heard = {name: output for name, output in outputs.items() if name not in silent}
    deaf = {name: output for name, output in heard.items() if name != probe}
    assert parse(heard) != parse(deaf)


def test_the_kernel_listing_says_the_same_as_lspci() -> None:
    with_lspci = Host(cards=("RTX 3090", "H200"), nvswitches=1).facts()
    without = Host(cards=("RTX 3090", "H200"), nvswitches=1, has_lspci=False).facts()
    assert set(with_lspci.pci) == set(without.pci)
    assert len(with_lspci.gpus_on_bus) == 2
    assert with_lspci.nvswitch


def test_the_audio_function_of_a_card_is_no_gpu() -> None:
    facts = Host(cards=("RTX 3090",)).facts()
    assert len(facts.pci) == 2
    assert len(facts.gpus_on_bus) == 1


@pytest.mark.parametrize(
    ("mokutil", "variable", "expected"),
    [
        ("SecureBoot enabled\n", "", True),
        ("SecureBoot disabled\n", "   1\n", False),
        ("", "   1\n", True),
        ("", "", False),
    ],
)
def test_secure_boot_from_mokutil_else_from_the_firmware_variable(mokutil: str, variable: str, expected: bool) -> None:
    outputs = {
        "secure_boot": Output(mokutil, "", 0 if mokutil else None),
        "secure_boot_variable": Output(variable, "", 0 if variable else 1),
    }
    assert parse(outputs).secure_boot is expected


def test_removed_packages_do_not_count() -> None:
    text = "ii  nvidia-smi 535.1-1\nrc  nvidia-driver 535.1-1\nun  nvidia-open \n"
    assert parse({"deb_packages": Output(text)}).packages == {"nvidia-smi": "535.1-1"}


def test_an_old_nvidia_smi_has_its_capability_from_the_device_id() -> None:
    facts = Host(cards=("RTX 3090",), driver="470.256.02", old_smi=True).facts()
    assert facts.smi.gpus[0].capability == (8, 6)


def test_a_driver_that_lists_no_device_does_not_work() -> None:
    facts = parse({"smi": Output("No devices were found\n")})
    assert not facts.smi.works
    assert facts.smi.error == "No devices were found"


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  Tue Mar 25 2025\nGCC version: 12\n",
            "535.247.01",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n", "580.95.05"),
        ("", None),
    ],
)
def test_the_loaded_module_of_both_flavours(text: str, loaded: str | None) -> None:
    assert parse({"module_loaded": Output(text)}).loaded_module == loaded


def test_the_version_of_the_engine_not_of_its_client() -> None:
    assert Host(engine="20.10.24+dfsg1").facts().engine_version == "20.10.24+dfsg1"
    assert Host(engine="").facts().engine_version is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("580.65.06", (580, 65, 6)), ("20.10.24+dfsg1", (20, 10, 24)), ("1.20.0-1", (1, 20, 0)), ("", ())],
)
def test_versions_compare_by_their_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert version(text) == expected


def overlapping(chips: Iterable[Chip]) -> list[tuple[str, str]]:
    """Chips with a device id in common, one inside the other included."""
    return [
        (one.name, other.name)
        for one, other in itertools.combinations(chips, 2)
        if one.first_id <= other.last_id and other.first_id <= one.last_id
    ]


def test_the_id_ranges_do_not_overlap() -> None:
    assert overlapping(CHIPS) == []
    assert all(chip.first_id <= chip.last_id for chip in CHIPS)
    inner = replace(CHIPS[0], name="inner", first_id=CHIPS[0].first_id + 1, last_id=CHIPS[0].last_id - 1)
    assert overlapping((inner, CHIPS[0])) == [("inner", CHIPS[0].name)]
    assert {chip_of(number) for chip in CHIPS for number in (chip.first_id, chip.last_id)} == set(CHIPS)
