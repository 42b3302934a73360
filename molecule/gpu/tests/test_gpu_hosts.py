"""What the two roles leave behind on each stand-in host, asked of the host itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

INSTALLED = ("gpu-fresh", "gpu-reboot", "gpu-postponed")
UNTOUCHED = ("gpu-runtime", "gpu-secure-boot", "gpu-none")
CDI = ("gpu-fresh", "gpu-reboot")
TOOLKIT = (*CDI, "gpu-postponed", "gpu-runtime")
DRIVER_SOURCE = "/etc/apt/sources.list.d/nvidia-driver.sources"
TOOLKIT_SOURCE = "/etc/apt/sources.list.d/nvidia-container-toolkit.sources"


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("host", names, indirect=True)


def log(host: Any) -> list[str]:
    return str(host.file("/var/log/gpu-stand-in.log").content_string).splitlines()


def source(host: Any, path: str) -> dict[str, str]:
    lines = host.file(path).content_string.splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


@on(*INSTALLED)
def test_the_driver_repository_is_a_deb822_file_with_a_key_of_its_own(host: Any) -> None:
    entry = source(host, DRIVER_SOURCE)
    assert entry["URIs"] == "http://127.0.0.1:8765/cuda/debian12/x86_64/"
    assert entry["Suites"] == "/"
    key = host.file(entry["Signed-By"])
    assert key.mode == 0o644
    assert "BEGIN PGP PUBLIC KEY BLOCK" in key.content_string
    assert "Components" not in entry


@on(*INSTALLED)
def test_the_whole_driver_comes_from_one_source(host: Any) -> None:
    preferences = host.file("/etc/apt/preferences.d/nvidia-driver")
    assert 'Pin: origin "127.0.0.1"' in preferences.content_string
    assert preferences.mode == 0o644
    assert "600" in host.check_output("apt-cache policy nvidia-smi nvidia-driver-cuda")


@on(*INSTALLED)
def test_the_branch_is_locked_before_the_driver_comes(host: Any) -> None:
    configured = [line.split()[1] for line in log(host) if line.startswith("configured")]
    assert configured.index("nvidia-driver-pinning-580") < configured.index("nvidia-driver-cuda")
    assert configured.index("nvidia-driver-pinning-580") < configured.index("nvidia-kernel-open-dkms")


@on(*INSTALLED)
@pytest.mark.parametrize("package", ["nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced"])
def test_branch_580_is_installed_though_590_is_offered(host: Any, package: str) -> None:
    assert host.package(package).version == "580.95.05-1"
    assert "590.48.01-1" in host.check_output(f"apt-cache madison {package}")


@on(*INSTALLED)
def test_ampere_gets_the_open_modules_only(host: Any) -> None:
    assert not host.package("nvidia-kernel-dkms").is_installed
    assert host.package("linux-headers-amd64").is_installed


@on("gpu-fresh", "gpu-reboot")
def test_the_persistence_daemon_runs_and_will_run(host: Any) -> None:
    service = host.service("nvidia-persistenced")
    assert service.is_running
    assert service.is_enabled


@on("gpu-fresh")
def test_without_nouveau_the_module_is_loaded_and_nothing_reboots(host: Any) -> None:
    assert "modprobe nvidia" in log(host)
    assert "booted" not in log(host)
    assert host.run("nvidia-smi -L").rc == 0


@on("gpu-reboot")
def test_with_nouveau_it_reboots_once_and_then_the_driver_works(host: Any) -> None:
    assert log(host).count("booted") == 1
    assert host.run("nvidia-smi -L").rc == 0
    assert not host.file("/etc/gpu-stand-in.nouveau").exists


@on("gpu-postponed")
def test_unset_it_stops_before_any_change_and_says_how_to_go_on(host: Any) -> None:
    said = host.file("/var/log/gpu-stand-in.stopped").content_string
    assert "That needs a reboot, and nobody said whether this host may" in said
    assert "-e nvidia_driver_reboot=true" in said


@on("gpu-postponed")
def test_refused_it_goes_on_without_the_gpu(host: Any) -> None:
    assert "booted" not in log(host)
    assert host.run("nvidia-smi -L").rc == 9
    assert host.package("nvidia-container-toolkit").is_installed


@on("gpu-secure-boot")
def test_secure_boot_stops_before_any_change_and_explains_the_key(host: Any) -> None:
    said = host.file("/var/log/gpu-stand-in.stopped").content_string
    for part in ("Secure Boot is on", "Nothing was changed", "mokutil --import /var/lib/dkms/mok.pub", "Enroll MOK"):
        assert part in said


@on(*UNTOUCHED)
def test_no_driver_package_and_no_driver_repository(host: Any) -> None:
    assert not host.file(DRIVER_SOURCE).exists
    assert not host.file("/etc/apt/preferences.d/nvidia-driver").exists
    assert not host.package("nvidia-driver-cuda").is_installed
    assert "modprobe nvidia" not in host.run("cat /var/log/gpu-stand-in.log").stdout


@on("gpu-none")
def test_a_host_without_a_gpu_gets_no_toolkit_either(host: Any) -> None:
    assert not host.file(TOOLKIT_SOURCE).exists
    assert not host.package("nvidia-container-toolkit").is_installed
    assert not host.file("/etc/docker/daemon.json").exists


@on(*TOOLKIT)
@pytest.mark.parametrize(
    "package",
    ["nvidia-container-toolkit", "nvidia-container-toolkit-base", "libnvidia-container-tools", "libnvidia-container1"],
)
def test_the_four_toolkit_packages_stay_at_the_pinned_version(host: Any, package: str) -> None:
    assert host.package(package).version == "1.20.0-1"
    policy = host.check_output(f"apt-cache policy {package}")
    assert "1.21.0-1" in policy
    assert re.search(r"Candidate: 1\.20\.0-1", policy)


@on(*TOOLKIT)
def test_the_toolkit_repository_is_a_deb822_file_with_a_key_of_its_own(host: Any) -> None:
    entry = source(host, TOOLKIT_SOURCE)
    assert entry["URIs"] == "http://127.0.0.1:8765/libnvidia-container/stable/deb/amd64/"
    assert host.file(entry["Signed-By"]).exists


@on("gpu-fresh")
def test_older_entries_of_both_repositories_are_gone_others_stay(host: Any) -> None:
    lists = host.check_output("ls /etc/apt/sources.list.d").split()
    assert sorted(lists) == ["nvidia-container-toolkit.sources", "nvidia-driver.sources", "somebody-else.list"]


@on("gpu-fresh")
def test_cdi_is_merged_into_the_engine_configuration(host: Any) -> None:
    assert json.loads(host.file("/etc/docker/daemon.json").content_string) == {
        "log-opts": {"max-size": "10m"},
        "features": {"buildkit": True, "cdi": True},
        "live-restore": True,
    }
    assert host.file("/etc/docker/daemon.json").mode == 0o644
    assert "dockerd --validate --config-file" in host.file("/var/log/gpu-stand-in.calls").content_string


@on("gpu-fresh", "gpu-postponed")
def test_the_engine_restarts_once_for_it(host: Any) -> None:
    assert log(host).count("engine started") == 2
    assert host.service("docker").is_running


@on("gpu-reboot")
def test_an_engine_with_cdi_of_its_own_is_left_alone(host: Any) -> None:
    assert not host.file("/etc/docker/daemon.json").exists
    assert log(host).count("engine started") == 2  # its own start, and the one after the reboot


@on("gpu-fresh", "gpu-reboot")
def test_the_cdi_specification_names_the_driver_that_runs(host: Any) -> None:
    assert "libcuda.so.580.95.05" in host.file("/var/run/cdi/nvidia.yaml").content_string
    assert host.service("nvidia-cdi-refresh.path").is_enabled
    assert host.service("nvidia-cdi-refresh.path").is_running


@on(*CDI)
def test_the_cdi_specification_is_renewed_at_boot(host: Any) -> None:
    assert host.service("nvidia-cdi-refresh").is_enabled


@on("gpu-postponed")
def test_an_engine_that_cannot_start_cdi_containers_at_boot_gets_the_runtime(host: Any) -> None:
    configuration = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert configuration == {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}


@on(*TOOLKIT)
def test_no_python_module_had_to_be_there_for_the_repositories(host: Any) -> None:
    assert not host.package("python3-debian").is_installed


@on("gpu-runtime")
def test_a_real_engine_without_cdi_gets_the_runtime_and_keeps_its_settings(host: Any) -> None:
    assert json.loads(host.file("/etc/docker/daemon.json").content_string) == {
        "log-opts": {"max-size": "10m"},
        "features": {"buildkit": True},
        "live-restore": True,
        "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
    }
    runtimes = json.loads(host.check_output("docker info --format '{{json .Runtimes}}'"))
    assert runtimes["nvidia"]["path"] == "nvidia-container-runtime"
    assert host.check_output("docker info --format '{{.DefaultRuntime}}'") == "runc"
    assert host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"


@on("gpu-runtime")
def test_the_check_used_the_runtime(host: Any) -> None:
    assert "nvidia-container-runtime" in host.file("/var/log/gpu-stand-in.runtime").content_string


@on("gpu-runtime")
def test_the_container_of_the_check_is_gone(host: Any) -> None:
    assert "samstudio-gpu-check" not in host.check_output("docker ps --all --format '{{.Names}}'").split()


@on("gpu-runtime")
def test_a_container_without_the_gpu_would_have_been_noticed(host: Any) -> None:
    assert host.run("docker run --rm --network none gpu-check:stand-in nvidia-smi -L").rc == 9
