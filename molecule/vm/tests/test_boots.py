"""What a deploy leaves comes back after a boot, with nobody touching it. The tests share a machine, in their order."""

from __future__ import annotations

import json
from typing import Any

import pytest

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


def test_it_comes_back_with_the_clock_years_behind(machine: Any) -> None:
    machine.cut_the_power()
    machine.start("-rtc", "base=2020-01-01")
    assert machine.check("date +%Y") == "2020"
    is_whole(machine)
