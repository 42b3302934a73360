"""Debian's real driver packages, as the role leaves them."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("host", ["gpu-debian-own"], indirect=True)


@pytest.mark.parametrize(
    "package", ["nvidia-kernel-dkms", "libcuda1", "nvidia-smi", "nvidia-persistenced", "linux-headers-amd64"]
)
def test_the_packages_that_the_plan_names_exist_and_are_installed(host: Any, package: str) -> None:
    assert host.package(package).is_installed


def test_user_space_and_module_are_of_the_branch_that_the_plan_said(host: Any) -> None:
    assert host.package("libcuda1").version.startswith("535.")
    assert host.package("nvidia-kernel-dkms").version.startswith("535.")


def test_dkms_built_the_module_for_debians_kernel(host: Any) -> None:
    status = host.check_output("dkms status")
    assert "nvidia-current" in status
    assert ": installed" in status
    assert host.check_output("find /lib/modules -name 'nvidia-current.ko*'")


def test_no_desktop_came_with_it(host: Any) -> None:
    assert not host.package("xserver-xorg-core").is_installed
    assert not host.package("nvidia-driver").is_installed


def test_the_role_reports_that_it_does_not_work_in_nvidia_smis_own_words(host: Any) -> None:
    said = host.file("/var/log/gpu-stand-in.stopped").content_string
    assert "The driver is installed but does not work" in said
    assert "NVIDIA-SMI has failed" in said
    assert "modprobe" in said
