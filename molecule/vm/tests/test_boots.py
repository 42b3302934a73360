"""What a deploy leaves comes back after a boot, with nobody touching it. The tests share a machine, in their order."""

from __future__ import annotations

import json
from typing import Any

import pytest

SECONDS_TO_DEPLOY = 3600
OURS = ("label-studio", "sam2-backend")


def is_whole(machine: Any) -> None:
    """Both containers are healthy, a click returns the drawn shape, no job was dropped, and no unit failed."""
    for container in OURS:
        machine.wait_for(container, "{{.State.Health.Status}}", "healthy")
    clicked = json.loads(machine.check("sudo samstudio click --json", timeout=900))
    print(f"{len(clicked['clicks'])} clicks, IoU {clicked['iou']['min']:.3f} at least")
    assert clicked["iou"]["min"] >= 0.8
    machine.wait_for("late", "{{.State.Status}}", "running")
    assert machine.state("stopped") == "exited"
    journal = machine.check("sudo journalctl --boot --no-pager")
    assert "ordering cycle" not in journal
    assert "cannot assign requested address" in journal  # the engine did try the late address, and too early
    assert machine.check("systemctl --failed --plain --no-legend") == ""


def test_the_disk_boots(machine: Any) -> None:
    is_whole(machine)


def test_the_guard_is_in_force_before_the_engine_starts(machine: Any) -> None:
    def moment(unit: str, name: str) -> int:
        return int(machine.check(f"systemctl show --value --property={name} {unit}"))

    guard = moment("samstudio-guard-vm.service", "ActiveEnterTimestampMonotonic")
    assert 0 < guard < moment("docker.service", "ExecMainStartTimestampMonotonic")
    assert "tcp dport 9999" in machine.check("sudo nft list table ip samstudio_vm")


@pytest.mark.parametrize("time", [1, 2, 3])
def test_it_comes_back_from_a_reboot(machine: Any, time: int) -> None:
    machine.reboot()
    is_whole(machine)


def test_it_comes_back_from_a_power_cut(machine: Any) -> None:
    machine.cut_the_power()
    machine.start()
    is_whole(machine)


@pytest.mark.parametrize("year", [2020, 2031], ids=["behind", "ahead"])
def test_it_comes_back_with_the_clock_years_off(machine: Any, year: int) -> None:
    """systemd lets no clock stay behind the time that it last knew; ahead it stays."""
    machine.cut_the_power()
    machine.start("-rtc", f"base={year}-01-01")
    assert int(machine.check("date +%Y")) >= year
    assert f"setting system clock to {year}-01-01" in machine.check("sudo journalctl --boot --dmesg --no-pager")
    is_whole(machine)


def test_it_comes_back_with_a_newer_kernel_that_waited_for_a_boot(machine: Any) -> None:
    kernels = machine.check("ls /lib/modules | sort --version-sort").split()
    assert machine.check("uname -r") == kernels[0] != kernels[-1]
    machine.cut_the_power()
    machine.start("-kernel", f"{machine.folder}/next-kernel", "-initrd", f"{machine.folder}/next-initrd")
    assert machine.check("uname -r") == kernels[-1]
    is_whole(machine)


def test_a_full_disk_is_named_and_leaves_nothing_broken(machine: Any) -> None:
    machine.check("sudo sh -c 'fallocate -l $(($(df --output=avail -B1 / | tail -n 1) - 300000)) /filled; sync'", 600)
    machine.reboot()
    machine.wait_until("sudo docker version")
    walked = machine.run("sudo samstudio doctor --json", 900)
    assert walked.returncode == 1
    assert "docker system df" in walked.stdout
    machine.check("sudo rm /filled")
    is_whole(machine)


def test_a_power_cut_in_the_middle_of_a_deploy_is_mended_by_the_next(machine: Any) -> None:
    """The cut comes when the container that the deploy replaces is gone."""
    id_of = "sudo docker inspect --format '{{.Id}}' sam2-backend"
    before = machine.check(id_of)
    change = {"sam2_backend_log_level": "DEBUG"}
    cut = machine.deploy(**change)
    machine.wait_until(f'test "$({id_of})" != {before}')
    machine.cut_the_power()
    cut.kill()
    machine.start()
    machine.wait_for("label-studio", "{{.State.Health.Status}}", "healthy")
    again = machine.deploy(**change)
    told, _ = again.communicate(timeout=SECONDS_TO_DEPLOY)
    assert again.returncode == 0, told[-3000:]
    assert machine.check(id_of) != before
    is_whole(machine)
