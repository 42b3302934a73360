"""That the deployed host never had a way out, and what it is like to deploy there again."""

from __future__ import annotations

import re
from typing import Any

import pytest

DEPLOY = "cd /root/samstudio && ./samstudio deploy -e samstudio_bundle="
BUNDLE = "/media/bundle/bundle.tar"


def test_there_is_no_way_out(host: Any) -> None:
    assert host.check_output("ip route show default") == ""
    assert "eth0" not in host.check_output("ls /sys/class/net").split()


@pytest.mark.parametrize("place", ["", "docker exec label-studio "])
def test_a_connection_to_the_outside_fails(host: Any, place: str) -> None:
    tried = host.run(f"{place}python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 5)\"")
    assert re.search(r"(OSError|TimeoutError): .*(unreachable|No route to host|timed out)", tried.stderr), tried


def test_nothing_of_the_connected_machine_was_lent_to_the_host(host: Any) -> None:
    assert not host.file("/etc/pip.conf").exists
    assert host.check_output("ls /usr/local/share/ca-certificates") == ""


def test_a_check_changes_nothing(host: Any) -> None:
    checked = host.run(f"{DEPLOY}{BUNDLE} --check")
    assert checked.rc == 0, checked.stdout + checked.stderr
    assert "changed=0 " in checked.stdout


def test_a_bundle_that_was_cut_short_stops_before_any_change(host: Any) -> None:
    host.check_output(f"head -c 400000000 {BUNDLE} > /root/cut.tar")
    stopped = host.run(f"{DEPLOY}/root/cut.tar")
    assert stopped.rc != 0
    assert "Nothing was changed" in stopped.stdout + stopped.stderr
    assert "changed=0 " in stopped.stdout
