"""The one verdict: preflight says stop wherever the driver's role would, and says what the backend will compute on."""

from __future__ import annotations

import pytest
from samstudio.gpu import DriverSettings, VerdictSettings, driver_plan, gpu_verdict

from .hosts import MISMATCH, Host
from .test_profiles import PROFILES


def stops(host: Host, settings: VerdictSettings | None = None) -> list[str]:
    verdict = gpu_verdict(host.facts(), settings)
    return [f"{row.why} {row.fix}" for row in verdict.rows if row.fix] + ([verdict.fix] if verdict.fix else [])


@pytest.mark.parametrize("name", PROFILES)
def test_preflight_stops_where_the_driver_role_would_and_nowhere_else(name: str) -> None:
    profile = PROFILES[name]
    driver = profile.settings or DriverSettings()
    plan = driver_plan(profile.host.facts(), driver)
    said = stops(profile.host, VerdictSettings(driver=driver))
    if plan.action.value == "stop":
        assert len(said) == 1
        assert said[0].startswith(f"{plan.reason} {plan.advice}")
        assert "sam2_backend_device=cpu" in said[0]
    else:
        assert said == []


def test_the_cpu_that_is_asked_for_needs_no_driver() -> None:
    verdict = gpu_verdict(Host("debian13", ("RTX 4090",), secure_boot=True).facts(), VerdictSettings(device="cpu"))
    assert (verdict.device, verdict.index, verdict.workers, verdict.fix, verdict.rows) == ("cpu", "cpu", (), "", ())


def test_a_gpu_that_is_asked_for_and_not_there_stops() -> None:
    assert "sam2_backend_device=cpu" in stops(Host("debian12"), VerdictSettings(device="cuda"))[0]


def test_a_working_gpu_comes_with_its_workers_and_the_way_into_a_container() -> None:
    verdict = gpu_verdict(Host("debian12", ("RTX 3090",), "580.95.05", engine="20.10.24+dfsg1").facts())
    assert (verdict.device, verdict.index, verdict.mode, verdict.found) == (
        "cuda",
        "cu130",
        "runtime",
        "NVIDIA RTX 3090",
    )
    assert [worker.device for worker in verdict.workers] == ["GPU-0"]


@pytest.mark.parametrize(
    ("reboot", "device", "use"), [(True, "cuda", "install, then reboot"), (False, "cpu", "install, reboot later")]
)
def test_the_image_is_built_for_what_holds_after_this_run(reboot: bool, device: str, use: str) -> None:
    settings = VerdictSettings(driver=DriverSettings(reboot=reboot))
    verdict = gpu_verdict(Host(cards=("RTX 3090",), nouveau=True).facts(), settings)
    assert (verdict.device, verdict.rows[0].use) == (device, use)


def test_a_driver_that_waits_for_an_allowed_reboot_means_the_gpu() -> None:
    host = Host(cards=("GTX 1080",), smi_error=MISMATCH, loaded_module="580.82.07", module_on_disk="580.95.05")
    verdict = gpu_verdict(host.facts(), VerdictSettings(driver=DriverSettings(reboot=True)))
    assert (verdict.device, verdict.index, verdict.rows[0].use) == ("cuda", "cu126", "reboot")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_running_kernel_that_is_gone_from_the_disk_stops_every_host(device: str) -> None:
    host = Host("debian12", kernels=("6.1.0-42-amd64",))
    said = stops(host, VerdictSettings(device=device))
    assert len(said) == 1
    assert "systemctl reboot" in said[0]


@pytest.mark.parametrize("virtualization", ["docker", "wsl"])
def test_a_kernel_that_belongs_to_somebody_else_is_not_judged(virtualization: str) -> None:
    assert stops(Host("debian12", kernels=("6.1.0-42-amd64",), virtualization=virtualization)) == []
