"""A host with several GPUs: which get a backend, what is said of the others, and which backend keeps which GPU."""

from __future__ import annotations

from typing import Any

import pytest
from samstudio.gpu import (
    ALL,
    Output,
    TorchSettings,
    VerdictSettings,
    asked_gpus,
    gpu_verdict,
    parse,
    places,
    torch_plan,
)

from .hosts import Host

TWO = Host(cards=("RTX 3090", "RTX 4090"), driver="580.95.05")
#: one lost, one in two slices
FOUR = Host(
    cards=("RTX 3090", "RTX 4090", "A100", "L4"),
    driver="580.95.05",
    mig=(("3g.20gb", "MIG-a"), ("1g.5gb", "MIG-b")),
    lost=(1,),
)


def devices(host: Host, *gpus: str) -> list[str]:
    return [worker.device for worker in torch_plan(host.facts(), TorchSettings(gpus)).workers]


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("", ()),
        (None, ()),
        ([], ()),
        ("all", ALL),
        (["all"], ALL),
        ([0, 2], ("0", "2")),
        ("[0, 2]", ("0", "2")),
        ("0,2", ("0", "2")),
        (0, ("0",)),
        ("['GPU-5a4d', 1]", ("GPU-5a4d", "1")),
        (["MIG-a", "MIG-a"], ("MIG-a",)),
    ],
)
def test_what_a_setting_asks_for(value: Any, asked: tuple[str, ...]) -> None:
    assert asked_gpus(value) == asked


@pytest.mark.parametrize("value", ["both", True, [-1], ["all", 0], {"gpu": 0}, "RTX 3090"])
def test_anything_else_is_refused_with_what_was_expected(value: Any) -> None:
    with pytest.raises(ValueError, match=r"sam2_backend_gpus=.*nvidia-smi -L"):
        asked_gpus(value)


def test_every_gpu_that_works_is_a_worker_and_every_slice() -> None:
    assert devices(TWO) == ["GPU-0", "GPU-1"]
    assert devices(FOUR) == ["GPU-0", "MIG-a", "MIG-b", "GPU-3"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("0", "3"), ["GPU-0", "GPU-3"]),
        (("GPU-3",), ["GPU-3"]),
        (("2",), ["MIG-a", "MIG-b"]),
        (("GPU-2", "0"), ["GPU-0", "MIG-a", "MIG-b"]),
        (("MIG-b",), ["MIG-b"]),
    ],
)
def test_gpus_are_named_by_index_or_uuid_and_a_sliced_one_means_its_slices(
    asked: tuple[str, ...], expected: list[str]
) -> None:
    assert devices(FOUR, *asked) == expected


@pytest.mark.parametrize("asked", ["1", "4", "GPU-9", "MIG-z"])
def test_a_gpu_that_is_not_there_or_broken_stops_with_those_that_are(asked: str) -> None:
    verdict = gpu_verdict(FOUR.facts(), VerdictSettings(torch=TorchSettings(("0", asked))))
    assert verdict.fix
    assert f"no device {asked} that works" in verdict.reason
    assert "0 = GPU-0 (NVIDIA RTX 3090), 2 = MIG-a (NVIDIA A100 MIG 3g.20gb)" in verdict.reason
    assert "GPU 1 (NVIDIA RTX 4090): GPU is lost" in verdict.fix


def test_a_gpu_that_is_not_there_stops_before_its_driver_is_installed() -> None:
    host = Host("debian12", ("RTX 3090", "RTX 3090"))
    assert torch_plan(host.facts(), TorchSettings(("1",))).action.value == "none"
    plan = torch_plan(host.facts(), TorchSettings(("0", "2")))
    assert plan.action.value == "stop"
    assert "no GPU 2. It has 2 on its bus" in plan.reason
    assert torch_plan(Host("debian12").facts(), TorchSettings(("0",))).action.value == "stop"


def test_a_named_gpu_that_cannot_serve_stops_instead_of_being_left_out() -> None:
    mixed = Host(cards=("RTX 5090", "GTX 1060"), driver="580.95.05")
    assert devices(mixed) == ["GPU-0"]
    plan = torch_plan(mixed.facts(), TorchSettings(("0", "1")))
    assert plan.action.value == "stop"
    assert "NVIDIA GTX 1060 is left out: no native code" in plan.advice
    alone = torch_plan(Host(cards=("RTX 9999",), driver="580.95.05").facts(), TorchSettings(("0",)))
    assert alone.action.value == "stop"


def left_out(host: Host) -> list[str]:
    return [row.why for row in gpu_verdict(host.facts()).rows if row.what == "GPU left out"]


def test_a_broken_gpu_is_left_out_with_a_sentence() -> None:
    assert left_out(TWO) == []
    assert left_out(FOUR) == ["GPU 1 (NVIDIA RTX 4090): GPU is lost: left out."]
    unlisted = Host(cards=("RTX 3090", "RTX 4090"), driver="580.95.05", unlisted=1)
    assert left_out(unlisted) == ["Left out: 1 of 2 GPUs on the bus, which nvidia-smi does not list."]


def test_a_gpu_without_a_handle_is_told_in_the_words_of_nvidia_smi() -> None:
    said = "Unable to determine the device handle for GPU 0000:02:00.0: Unknown Error"
    smi = TWO.outputs()["smi"]
    facts = parse({**TWO.outputs(), "smi": Output(f"{said}\n{smi.stdout.splitlines()[0]}\n", "", 255)})
    assert [gpu.uuid for gpu in facts.smi.gpus] == ["GPU-0"]
    assert facts.smi.unreadable == (said,)


@pytest.mark.parametrize(
    ("kept", "chosen", "placed"),
    [
        ("", "AB", "AB"),
        ("A", "AB", "AB"),
        ("B", "AB", "BA"),
        ("ABCD", "ACD", "ADC"),  # not C in B's place, where the backend of D would get D while another still has it
        ("ABCD", "AECD", "AECD"),
        ("ABCD", "CD", "CD"),
        ("ABC", "DE", "DE"),
        ("AB", "AB", "AB"),
        ("AB", "", ""),
    ],
)
def test_a_gpu_keeps_its_backend(kept: str, chosen: str, placed: str) -> None:
    assert "".join(places(kept, chosen)) == placed
