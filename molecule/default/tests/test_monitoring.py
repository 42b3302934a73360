"""Prometheus on a host that was asked for it: who runs, what is known, and an alert by its fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

PROMETHEUS = "http://127.0.0.1:9490"


def asked(host: Any, query: str) -> list[str]:
    """Prometheus's answer, a line a series: `up{instance="…", job="…"} => 1 @[…]`."""
    lines: list[str] = host.check_output("promtool query instant %s %s", PROMETHEUS, query).splitlines()
    return lines


def waited(host: Any, query: str, right: Callable[[list[str]], bool]) -> list[str]:
    """The answer once it is right; Prometheus looks every 15 seconds."""
    deadline = time.monotonic() + 120
    while not right(answer := asked(host, query)):
        assert time.monotonic() < deadline, answer
        time.sleep(2)
    return answer


@pytest.mark.parametrize(
    "name", ["samstudio-prometheus.service", "samstudio-node-exporter.service", "samstudio-metrics.timer"]
)
def test_what_watches_runs(host: Any, name: str) -> None:
    assert host.service(name).is_enabled
    assert host.service(name).is_running


@pytest.mark.parametrize("name", ["prometheus", "prometheus-node-exporter"])
def test_the_packages_own_services_which_listen_everywhere_do_not(host: Any, name: str) -> None:
    assert not host.service(name).is_running
    assert host.service(name).is_masked


def test_everybody_who_is_to_tell_something_answers(host: Any) -> None:
    up = waited(host, "up", lambda answer: len(answer) == 3 and all("=> 1 " in line for line in answer))
    for job in ("prometheus", "node", "sam2_backend"):
        assert any(f'job="{job}"' in line for line in up), up


def test_a_right_click_becomes_a_figure(host: Any) -> None:
    host.check_output("systemctl start samstudio-metrics.service")
    assert waited(host, "samstudio_click_right", lambda answer: any("=> 1 " in line for line in answer))
    assert asked(host, "time() - samstudio_click_last_right_timestamp_seconds < 300")


def test_a_backend_that_is_gone_is_an_alert_and_no_longer_when_it_is_back(host: Any) -> None:
    query = 'ALERTS{alertname="BackendDown"}'
    waited(host, query, lambda answer: not answer)
    host.check_output("docker stop sam2-backend")
    try:
        waited(host, query, bool)
    finally:
        host.check_output("docker start sam2-backend")
    waited(host, query, lambda answer: not answer)
