"""What runs backups and rehearsals on a host that was asked to."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("name", ["samstudio-backup", "samstudio-rehearsal"])
def test_its_timer_waits_for_the_night(host: Any, name: str) -> None:
    timer = host.service(f"{name}.timer")
    assert timer.is_enabled
    assert timer.is_running
    assert host.check_output(f"systemctl show --property=NextElapseUSecRealtime --value {name}.timer")
