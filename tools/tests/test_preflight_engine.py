"""Whatever would touch an engine, or stand in its way, has a row, and stops until somebody agrees."""

from __future__ import annotations

from typing import Any

import pytest

from .preflight_host import OFFLINE, decide, engine

RUNNING = {"installed": True, "version": "28.2.2"}
OPTIONS = {"daemon_options": {"log-driver": "local"}}


@pytest.mark.parametrize(
    ("found", "settings", "says", "consent"),
    [
        pytest.param(
            engine(packages=["containerd", "runc"]),
            {},
            ["containerd, runc", "docker_engine_replace=true", "docker_engine_source=distribution"],
            "docker_engine_replace",
            id="Debian's containerd",
        ),
        pytest.param(
            {**engine(packages=["podman-docker"]), **OFFLINE},
            {"demo_fallback": True},
            ["podman-docker", "docker_engine_replace=true"],
            "docker_engine_replace",
            id="Podman's docker",
        ),
        pytest.param(
            engine(rootless=["/run/user/1000/docker.sock"]),
            {},
            ["/run/user/1000/docker.sock", "rootless"],
            "docker_engine_replace",
            id="rootless Docker",
        ),
        pytest.param(engine(kubelet=True), {}, ["kubelet", "FORWARD"], "docker_engine_replace", id="Kubernetes node"),
        pytest.param(
            engine(**RUNNING, other_containers=["registry", "grafana"]),
            OPTIONS,
            ["2 running: registry, grafana", "log-driver"],
            "docker_engine_restart",
            id="live containers",
        ),
    ],
)
def test_it_stops_until_somebody_agrees(
    found: dict[str, Any], settings: dict[str, Any], says: list[str], consent: str
) -> None:
    problems = decide(found, settings)["problems"]
    assert len(problems) == 1
    for text in says:
        assert text in problems[0]
    agreed = decide(found, {**settings, consent: True})
    assert agreed["problems"] == []
    assert len(agreed["rows"]) == len(decide(found, settings)["rows"])


@pytest.mark.parametrize(
    ("found", "says"),
    [
        pytest.param(engine(**RUNNING, kind="snap"), ["snap remove docker"], id="from a snap"),
        pytest.param(engine(**RUNNING, kind="desktop"), ["virtual machine", "Docker Desktop"], id="Docker Desktop"),
    ],
)
def test_an_engine_that_cannot_serve_stops_whatever_is_agreed(found: dict[str, Any], says: list[str]) -> None:
    problems = decide(found, {"docker_engine_replace": True, "docker_engine_restart": True})["problems"]
    assert len(problems) == 1
    for text in says:
        assert text in problems[0]


@pytest.mark.parametrize(
    ("found", "settings"),
    [
        pytest.param(
            engine(packages=["containerd", "runc"]),
            {"docker_engine_source": "distribution"},
            id="Debian's engine takes Debian's containerd",
        ),
        pytest.param(engine(packages=["containerd.io"]), {}, id="Docker's engine takes Docker's containerd"),
        pytest.param(engine(**RUNNING, packages=["containerd", "runc"], kubelet=True), {}, id="an engine that works"),
        pytest.param(engine(**RUNNING, other_containers=["registry"]), {}, id="nothing restarts"),
        pytest.param(
            engine(**RUNNING, other_containers=["registry"], daemon_options={"log-driver": "local", "a": 1}),
            OPTIONS,
            id="the options are there already",
        ),
        pytest.param(
            engine(**RUNNING, other_containers=["registry"], live_restore=True),
            OPTIONS,
            id="containers outlive the engine",
        ),
        pytest.param(engine(**RUNNING), OPTIONS, id="nobody else's containers"),
    ],
)
def test_nothing_is_in_the_way(found: dict[str, Any], settings: dict[str, Any]) -> None:
    assert decide(found, settings)["problems"] == []
