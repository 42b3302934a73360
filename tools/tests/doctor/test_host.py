"""Causes that this machine cannot have: the facts are doubles (a fake nvidia-smi, a fake disk), the checks are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from samstudio.doctor.cause import Cause
from samstudio.doctor.checks import host, studio
from samstudio.doctor.finding import Blame, Status
from samstudio.doctor.patient import Examination, Patient

HOST_CAUSES = {"disk-full", "gpu-driver-broken", "gpu-unused", "label-studio-version", "localhost-in-container"}


@pytest.fixture
def x(tmp_path: Path) -> Examination:
    url = "http://127.0.0.1:1"
    return Examination(Patient(url, url, wanted=url, studio_internal=url, data=tmp_path))


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def say(script: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return say


def blamed(check: Callable[[Examination], object], x: Examination) -> tuple[Cause, Status, str]:
    with pytest.raises(Blame) as told:
        check(x)
    why, _ = told.value.cause.told({**x.facts(), **told.value.facts})
    return told.value.cause, told.value.status, why


def test_a_gpu_that_the_backend_does_not_use(x: Examination, nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi('echo "NVIDIA RTX A4000, 535.183.01"')
    x.status = {"engine": {"device": "cpu"}, "versions": {"torch": "2.13.0+cu130"}}
    cause, status, why = blamed(host.gpu, x)
    assert (cause.id, status) == ("gpu-unused", Status.WARN)
    assert "A4000 (driver 535.183.01)" in why
    assert "2.13.0+cu130" in why


def test_a_gpu_that_is_used_is_fine(x: Examination, nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi('echo "NVIDIA RTX A4000, 580.65.06"')
    x.status = {"engine": {"device": "cuda:0"}, "versions": {"torch": "2.13.0+cu130"}}
    assert "computes on cuda:0" in host.gpu(x)


def test_a_driver_that_was_upgraded_below_a_running_kernel(x: Examination, nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi('echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18')
    cause, _, why = blamed(host.gpu, x)
    assert cause.id == "gpu-driver-broken"
    assert "version mismatch" in why


@pytest.mark.parametrize(("free_gib", "status"), [(0.5, Status.FAIL), (5, Status.WARN)])
def test_a_disk_that_fills_up(x: Examination, monkeypatch: pytest.MonkeyPatch, free_gib: float, status: Status) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free_gib * host.GIB))
    cause, found, _ = blamed(host.disk, x)
    assert (cause.id, found) == ("disk-full", status)


def test_a_label_studio_newer_than_any_tested(x: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "_version", lambda url: "2.0.1")
    cause, status, _ = blamed(studio.label_studio, x)
    assert (cause.id, status) == ("label-studio-version", Status.WARN)


def test_localhost_written_down_for_a_container(tmp_path: Path) -> None:
    from samstudio.doctor.checks.setting import settings

    here, inside = "http://127.0.0.1:8080", "http://localhost:9090"
    patient = Patient(here, here, wanted=inside, studio_internal=here, studio_container="label-studio")
    cause, status, why = blamed(settings, Examination(patient))
    assert (cause.id, status) == ("localhost-in-container", Status.FAIL)
    assert "container label-studio" in why
