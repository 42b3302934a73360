"""Causes that this machine cannot have: the facts are doubles (a fake nvidia-smi, a fake disk), the checks are real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from samstudio.doctor.link import Known, Result, Status
from samstudio.doctor.links import backend, host, label_studio, network
from samstudio.doctor.pair import Pair
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.tunnel.state import TunnelState

from tools.tests.doctor.produced import produces

URL = "http://127.0.0.1:1"
NOTHING = Known()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(URL, URL, wanted=URL, studio_internal=URL, own_records=OwnRecords(tmp_path / "records"), data=tmp_path)


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def say(script: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return say


def explained(result: Result, pair: Pair) -> str:
    assert result.cause is not None
    return result.cause.explain({**pair.facts(), **result.facts})[0]


def serving(device: str, *, precision: str = "f32", demo: bool = False) -> Known:
    return Known(
        status={
            "model": {"checkpoint": "sam2.1_hiera_tiny.pt", "demo": demo},
            "engine": {"device": device, "precision": precision},
            "versions": {"torch": "2.13.0+cu130"},
        }
    )


@produces("gpu-unused")
def test_a_gpu_that_the_backend_does_not_use(pair: Pair, nvidia_smi: Callable[[str], None]) -> Result:
    nvidia_smi('echo "NVIDIA RTX A4000, 535.183.01"')
    result = host.check_gpu(pair, serving("cpu"))
    assert result.status is Status.WARN
    assert "A4000 (driver 535.183.01)" in explained(result, pair)
    assert "2.13.0+cu130" in explained(result, pair)
    return result


def test_a_gpu_that_is_used_is_fine(pair: Pair, nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi('echo "NVIDIA RTX A4000, 580.65.06"')
    result = host.check_gpu(pair, serving("cuda:0"))
    assert result.status is Status.OK
    assert "computes on cuda:0" in result.evidence


@produces("gpu-driver-broken")
def test_a_driver_that_was_upgraded_below_a_running_kernel(pair: Pair, nvidia_smi: Callable[[str], None]) -> Result:
    nvidia_smi('echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18')
    result = host.check_gpu(pair, NOTHING)
    assert "version mismatch" in explained(result, pair)
    return result


@pytest.mark.parametrize(("free_gib", "status"), [(0.5, Status.FAIL), (5, Status.WARN)])
@produces("disk-full")
def test_a_disk_that_fills_up(pair: Pair, monkeypatch: pytest.MonkeyPatch, free_gib: float, status: Status) -> Result:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free_gib * host.GIB))
    result = host.check_disk(pair, NOTHING)
    assert result.status is status
    return result


@produces("tunnel-3200")
def test_a_tunnel_whose_process_was_killed(pair: Pair, tmp_path: Path) -> Result:
    """SIGKILL leaves the state file behind."""
    pair = replace(pair, tunnel_state=tmp_path / "state.json")
    opened = TunnelState("https://abc.ngrok-free.app", URL, "2026-01-01T00:00:00", process=2**30, process_started=7)
    opened.write(pair.tunnel_state)
    result = host.check_tunnel(pair, NOTHING)
    assert result.status is Status.FAIL
    return result


@produces("label-studio-version")
def test_a_label_studio_newer_than_any_tested(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(label_studio, "version_at", lambda url: "2.0.1")
    result = label_studio.check_label_studio(pair, NOTHING)
    assert result.status is Status.WARN
    assert result.learned["version"] == "2.0.1"
    return result


@produces("localhost-in-container")
def test_localhost_written_down_for_a_container(tmp_path: Path) -> Result:
    here, inside = "http://127.0.0.1:8080", "http://localhost:9090"
    none = OwnRecords(tmp_path / "records")
    pair = Pair(here, here, inside, here, own_records=none, studio_container="label-studio")
    result = network.check_addresses(pair, NOTHING)
    assert result.status is Status.FAIL
    assert "container label-studio" in explained(result, pair)
    return result


@produces("model-demo")
def test_the_demo_model_is_told(pair: Pair) -> Result:
    result = backend.check_model(pair, serving("cpu", demo=True))
    assert result.status is Status.WARN
    return result


@produces("precision-slower")
def test_a_slower_precision_than_asked_for_is_told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(Pair, "backend_environment", lambda _: {"PRECISION": "bf16"})
    result = backend.check_model(pair, serving("cpu", precision="f32"))
    assert result.status is Status.WARN
    assert "in f32; it was asked for bf16" in explained(result, pair)
    return result


@pytest.mark.parametrize("asked", ["auto", "f32", "bf16"])
def test_the_precision_that_was_asked_for_is_fine(pair: Pair, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setattr(Pair, "backend_environment", lambda _: {"PRECISION": asked})
    assert backend.check_model(pair, serving("cpu", precision="bf16")).status is Status.OK


def test_a_backend_that_does_not_say_its_model_is_not_called_fine(pair: Pair) -> None:
    assert backend.check_model(pair, NOTHING).status is Status.SKIPPED
