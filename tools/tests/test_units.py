"""The systemd units of the roles, read by systemd itself beside the units that they meet on real hosts."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import jinja2
import pytest

ROLES = Path(__file__).parents[2] / "roles"

#: As cloud-init has them: before anything has configured the network, and ahead of sysinit.target.
EARLY = {
    "early-local.service": """
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service
Before=network-pre.target sysinit.target shutdown.target
Conflicts=shutdown.target
Wants=network-pre.target
[Service]
Type=oneshot
ExecStart=/bin/true
""",
    "early-network.service": """
[Unit]
DefaultDependencies=no
After=early-local.service systemd-networkd.service network-pre.target
Before=sysinit.target network-online.target shutdown.target
Conflicts=shutdown.target
Requires=early-local.service
[Service]
Type=oneshot
ExecStart=/bin/true
""",
    "docker.service": """
[Unit]
After=network-online.target
Wants=network-online.target
[Service]
ExecStart=/bin/sleep infinity
""",
    "nftables.service": """
[Unit]
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
""",
}


def render(role: str, template: str, **variables: object) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["comment"] = lambda text: f"# {text}"
    environment.filters["quote"] = shlex.quote
    source = (ROLES / role / "templates" / template).read_text()
    return environment.from_string(source).render(ansible_managed="managed", **variables)


def guard() -> str:
    """The unit as the role guarded_port writes it."""
    variables = {"__guarded_port_rules": "/etc/guard.nft", "__guarded_port_table": "samstudio_x"}
    unit = render("guarded_port", "guard.service.j2", guarded_port_numbers=[9090], **variables)
    return unit.replace("/usr/sbin/nft", "/bin/true")


def containers() -> str:
    """The unit as the role containers_at_boot writes it."""
    variables = {"__containers_at_boot_script": "/bin/true"}
    return render("containers_at_boot", "samstudio-containers.service.j2", samstudio_network_name="x", **variables)


def verify(folder: Path, units: dict[str, str]) -> str:
    """What systemd says of the units when all of them are to start at boot; nothing where it is content."""
    wants = folder / "multi-user.target.wants"
    wants.mkdir(parents=True)
    for name, text in units.items():
        (folder / name).write_text(text)
        (wants / name).symlink_to(f"../{name}")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "multi-user.target"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_LEVEL": "warning"},
    )
    return "\n".join(
        line for line in done.stderr.splitlines() if any(name in line for name in units) or "cycle" in line
    )


def test_systemd_sees_the_cycle_that_default_dependencies_would_make(tmp_path: Path) -> None:
    units = {**EARLY, "samstudio-guard-x.service": guard().replace("DefaultDependencies=no\n", "")}
    assert "ordering cycle" in verify(tmp_path, units)


@pytest.mark.parametrize("early", [EARLY, {"docker.service": EARLY["docker.service"]}], ids=["cloud", "plain"])
def test_the_guard_of_a_port_makes_no_ordering_cycle(tmp_path: Path, early: dict[str, str]) -> None:
    assert verify(tmp_path, {**early, "samstudio-guard-x.service": guard()}) == ""


def between(after: str, before: str) -> dict[str, str]:
    """A unit that closes a cycle where the first of the two waits for the second, and none where it does not."""
    order = f"[Unit]\nDefaultDependencies=no\nAfter={after}\nBefore={before}\n[Service]\nExecStart=/bin/true\n"
    return {"between.service": order}


SLEEP = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 1\n"


def test_the_guard_of_a_port_is_there_before_the_engine_publishes_it(tmp_path: Path) -> None:
    units = {"docker.service": SLEEP, "samstudio-guard-x.service": guard()}
    assert "ordering cycle" in verify(tmp_path, {**units, **between("docker.service", "samstudio-guard-x.service")})


@pytest.mark.parametrize("first", ["docker.service", "nvidia-cdi-refresh.service"])
def test_containers_are_started_again_after_the_engine_and_the_renewal_of_its_devices(
    tmp_path: Path, first: str
) -> None:
    units = {first: SLEEP, "samstudio-containers.service": containers()}
    assert "ordering cycle" in verify(tmp_path, {**units, **between("samstudio-containers.service", first)})


def test_a_container_that_cannot_start_yet_is_tried_for_minutes() -> None:
    """Once is not enough: an address or a GPU may come later than the first of these tries, too."""
    settings = dict(line.split("=", 1) for line in containers().splitlines() if "=" in line)
    assert settings["Restart"] == "on-failure"
    assert int(settings["StartLimitBurst"]) * int(settings["RestartSec"].removesuffix("s")) >= 600
    assert settings["WantedBy"] == "docker.service"


def test_the_unit_that_starts_containers_makes_none_either(tmp_path: Path) -> None:
    assert verify(tmp_path, {**EARLY, "samstudio-containers.service": containers()}) == ""
