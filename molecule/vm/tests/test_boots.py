"""What a deploy leaves comes back after a boot. The tests share one machine, in their order."""

from __future__ import annotations

from typing import Any

import pytest


def is_whole(machine: Any) -> None:
    """The engine's containers run, also the one that it could not start; no job was dropped, no unit failed."""
    machine.wait_for_state("plain", "running")
    machine.wait_for_state("late", "running")
    assert machine.state("stopped") == "exited"
    journal = machine.check("sudo journalctl --boot --no-pager")
    assert "ordering cycle" not in journal
    assert "cannot assign requested address" in journal  # the engine did try, and too early
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
