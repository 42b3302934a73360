"""What an admin's settings and the engine's version change, beside what the host itself decides."""

from __future__ import annotations

import pytest
from samstudio.gpu import (
    DriverSettings,
    ToolkitSettings,
    TorchSettings,
    container_mode,
    container_options,
    describe,
    driver_plan,
    plain,
    toolkit_plan,
    torch_plan,
)

from .hosts import Host

GPU_HOST = Host(cards=("RTX 3090", "RTX 4090"), driver="580.95.05")


RUNTIME = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}


@pytest.mark.parametrize(
    ("engine", "mode", "daemon"),
    [
        ("20.10.24+dfsg1", "runtime", RUNTIME),
        ("24.0.7", "runtime", RUNTIME),
        ("25.0.3", "runtime", RUNTIME),
        ("28.1.1", "runtime", RUNTIME),
        ("28.2.2", "cdi", {"features": {"cdi": True}}),
        ("28.3.0", "cdi", {}),
        ("29.7.1", "cdi", {}),
    ],
)
def test_the_engine_decides_between_cdi_and_the_runtime(engine: str, mode: str, daemon: object) -> None:
    facts = Host(cards=("T4",), driver="580.95.05", engine=engine).facts()
    plan = toolkit_plan(facts)
    assert (plan.mode, plan.daemon) == (mode, daemon)
    assert container_mode(facts) == mode
    assert len(plan.daemon_check) == 4
    assert (plan.daemon_check[0] == "dockerd") is not engine.startswith("20.")
    assert f"Engine {engine}" in plan.reason


def test_no_engine_stops_with_the_command_that_helps() -> None:
    plan = toolkit_plan(Host(cards=("T4",), driver="580.95.05", engine="").facts())
    assert plan.action.value == "stop"
    assert "docker_engine" in plan.advice


@pytest.mark.parametrize(
    ("present", "action", "says"),
    [
        ("", "install", "1.20.0 is installed"),
        ("1.17.8-1", "install", "1.17.8-1 becomes 1.20.0"),
        ("1.20.0-1", "none", "is there"),
        ("1.21.2-1", "none", "1.21.2-1 is there"),
    ],
)
def test_an_older_toolkit_is_raised_a_newer_one_is_kept(present: str, action: str, says: str) -> None:
    names = (
        "nvidia-container-toolkit",
        "nvidia-container-toolkit-base",
        "libnvidia-container-tools",
        "libnvidia-container1",
    )
    packages = tuple((name, present) for name in names) if present else ()
    plan = toolkit_plan(Host(cards=("T4",), driver="580.95.05", packages=packages).facts())
    assert plan.action.value == action
    assert says in plan.reason


def test_the_four_packages_are_pinned_to_one_version() -> None:
    plan = toolkit_plan(Host("debian12", ("T4",), "580.95.05").facts())
    assert plan.packages[0] == "nvidia-container-toolkit=1.20.0-1"
    assert len(plan.packages) == 4
    assert plan.repository is not None
    assert plan.repository.uri.endswith("/stable/deb/amd64/")


def test_mirrors_replace_both_repositories() -> None:
    facts = Host("debian12", ("T4",)).facts()
    driver = driver_plan(facts, DriverSettings(repository="https://mirror.example.com/cuda/"))
    toolkit = toolkit_plan(
        facts, ToolkitSettings(repository="https://mirror.example.com/toolkit", key="https://k.example.com/k")
    )
    assert driver.packages is not None
    assert driver.packages.repository is not None
    assert driver.packages.repository.uri == "https://mirror.example.com/cuda/debian12/x86_64/"
    assert driver.packages.repository.key == "https://mirror.example.com/cuda/debian12/x86_64/3bf863cc.pub"
    assert driver.packages.repository.host == "mirror.example.com"
    assert toolkit.repository is not None
    assert toolkit.repository.key == "https://k.example.com/k"


def test_ubuntu_names_lose_the_branch_from_590_on() -> None:
    packages = driver_plan(Host(cards=("L4",)).facts(), DriverSettings(branch="590", source="nvidia")).packages
    assert packages is not None
    assert packages.first == ("nvidia-driver-pinning-590",)
    assert {"libnvidia-compute", "nvidia-dkms-open"} <= set(packages.packages)


def test_a_gpu_can_be_chosen_by_uuid() -> None:
    plan = torch_plan(GPU_HOST.facts(), TorchSettings(gpus=("GPU-1",), model_size="small"))
    assert [(worker.device, worker.name, worker.model_size) for worker in plan.workers] == [
        ("GPU-1", "NVIDIA RTX 4090", "small")
    ]


def test_an_unknown_uuid_is_answered_with_those_that_exist() -> None:
    plan = torch_plan(GPU_HOST.facts(), TorchSettings(gpus=("GPU-7",)))
    assert plan.action.value == "stop"
    assert "no device GPU-7" in plan.reason
    assert "GPU-0 (NVIDIA RTX 3090)" in plan.reason


def test_a_model_that_fits_nowhere_stops_instead_of_running_on_the_cpu() -> None:
    host = Host(cards=("GTX 1650",), driver="580.95.05")
    plan = torch_plan(host.facts(), TorchSettings(model_size="large"))
    assert plan.action.value == "stop"
    assert "4096 MiB, large needs 5800; base_plus would fit" in plan.advice


def test_a_model_size_that_does_not_exist_is_named() -> None:
    plan = torch_plan(GPU_HOST.facts(), TorchSettings(model_size="huge"))
    assert plan.action.value == "stop"
    assert "'huge'" in plan.reason
    assert "base_plus" in plan.reason


def test_wsl_gets_its_gpus_as_one_device() -> None:
    host = Host(cards=("RTX 3090", "RTX 4090"), driver="581.42", virtualization="wsl", on_bus=False)
    assert [worker.device for worker in torch_plan(host.facts()).workers] == ["all"]


def test_container_options_for_both_modes() -> None:
    assert container_options("cdi", "GPU-0") == {
        "device_requests": [{"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-0"]}]
    }
    assert container_options("runtime", "GPU-0")["runtime"] == "nvidia"
    assert container_options("runtime", "GPU-0")["env"]["NVIDIA_VISIBLE_DEVICES"] == "GPU-0"
    with pytest.raises(ValueError, match="expected cdi or runtime"):
        container_options("", "GPU-0")


def test_a_plan_is_printed_with_reason_packages_and_repository() -> None:
    lines = describe(driver_plan(Host("debian12", ("RTX 3090",), nouveau=True).facts(), DriverSettings(reboot=True)))
    assert lines[0].startswith("NVIDIA driver: install. GA102 (Ampere, 10de:2204), no driver")
    assert "  The host is rebooted." in lines
    assert any(line.startswith("  Packages: nvidia-driver-pinning-580 linux-headers-amd64") for line in lines)
    workers = describe(torch_plan(GPU_HOST.facts()))
    assert "  Worker on GPU-1: NVIDIA RTX 4090, 24564 MiB, model large" in workers


def test_plain_data_holds_nothing_but_json_types() -> None:
    plan = plain(driver_plan(Host("debian12", ("RTX 3090",)).facts()))
    assert type(plan["action"]) is str
    assert plan["modules"] == "open"
    assert type(plan["packages"]["packages"]) is list
    assert plan["packages"]["repository"]["name"] == "nvidia-driver"
