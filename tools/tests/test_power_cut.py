"""The power fails during a backup, a restore or an exchange of Label Studio: what is on the disk is old or new.

The host's files lie on a file system of their own, which is shut down as a power cut leaves it: what it had not
written to its disk by then is lost. The engine's own files lie elsewhere and see no power cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from samstudio import deployment
from samstudio.backup import journal, keep, make, manifest, service, sqlite, upgrade
from samstudio.backup import restore as restoring

from tools.tests import deployed
from tools.tests.test_backup_killed import BAR, QUIET, become, both, on_disk, restore, shown
from tools.tests.test_upgrade_killed import annotated, make_newer, state
from tools.tests.test_upgrade_killed import become_older as become_older

pytestmark = pytest.mark.integration

#: include/uapi/linux/fs.h and ext4.h: an emergency shutdown that flushes neither data nor journal
SHUTDOWN, NOTHING_FLUSHED = 0x8004587D, struct.pack("I", 2)
#: of each, at random moments, and the last of them just after it had ended
CUTS = 10
HERE = socket.gethostname()


@dataclass
class Disk:
    """A file system that can lose its power; the host's containers have its folders."""

    file: Path
    mounted: Path

    def plug_in(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self.file), str(self.mounted)], check=True, timeout=30)

    def pull_out(self) -> None:
        subprocess.run(["umount", str(self.mounted)], check=True, timeout=30)

    def is_used(self) -> bool:
        """Whether somebody keeps it from being taken away, in another mount namespace."""
        argv = ["losetup", "--associated", str(self.file)]
        return bool(subprocess.run(argv, check=True, capture_output=True, timeout=30).stdout)


@dataclass
class Machine:
    host: deployed.Host
    disk: Disk

    def cut(self, action: Callable[[], object], seconds: float) -> bool:
        """Let a process of its own do something until the power fails after so long, or when it has ended.

        Returns:
            whether it had ended. What ran on the machine runs again.
        """
        _begin_a_second()
        ended = _until_the_power_fails(self.disk.mounted, action, seconds)
        ran = self._killed()
        self.disk.pull_out()
        while self.disk.is_used():  # by a container that the engine was about to start
            ran += self._killed()
        self.disk.plug_in()
        for each in ran:
            with contextlib.suppress(docker.errors.APIError):  # as at a boot: a file that it mounts may be lost
                each.start()
        return ended

    def _killed(self) -> list[Any]:
        return [each for each in self.host.engine.containers.list(filters={"name": self.host.name}) if _killed(each)]

    def moments(self, action: Callable[[], object], again: Callable[[], object]) -> Iterator[float]:
        """Seconds at which the power fails, after the action took its time once and `again` undid it."""
        _begin_a_second()
        begun = time.monotonic()
        action()
        whole = time.monotonic() - begun
        _begin_a_second()
        again()
        for number in range(CUTS):
            yield whole * random.random() if number < CUTS - 1 else 600


def _begin_a_second() -> None:
    """Backups, and folders and databases that are set aside, are named by the second."""
    time.sleep(1 - time.time() % 1)


def _killed(container: Any) -> bool:
    """Whether it ran; one that the engine was stopping did not."""
    try:
        container.kill()
    except docker.errors.APIError:
        container.reload()
        if container.status == "running":
            raise
        return False
    return True


def _until_the_power_fails(mounted: Path, action: Callable[[], object], seconds: float) -> bool:
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    timer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, ended = os.waitpid(child, 0)
    folder = os.open(mounted, os.O_RDONLY)
    fcntl.ioctl(folder, SHUTDOWN, NOTHING_FLUSHED)
    os.close(folder)
    timer.cancel()
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0, f"it failed by itself within {seconds:.3f} s"
    return not os.WIFSIGNALED(ended)


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path, engine: docker.DockerClient, image: str
) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("power")
    disk = Disk(folder / "disk.ext4", folder / "disk")
    disk.mounted.mkdir()
    subprocess.run(["truncate", "-s", "512M", str(disk.file)], check=True, timeout=30)
    subprocess.run(["mkfs.ext4", "-q", str(disk.file)], check=True, timeout=60)
    with pytest.MonkeyPatch.context() as patch, _plugged_in(disk):
        patch.setattr(service, "POLL_SECONDS", 0.1)
        patch.setattr(service, "READY_SECONDS", 20)
        with deployed.light(disk.mounted / "host", label_studio_cache, engine, image) as host:
            yield Machine(host, disk)


@contextlib.contextmanager
def _plugged_in(disk: Disk) -> Iterator[None]:
    disk.plug_in()
    try:
        yield
    finally:
        disk.pull_out()


def test_a_backup_is_whole_or_none_and_one_that_was_reported_stays(machine: Machine) -> None:
    host, target = machine.host, machine.disk.mounted / "backups"
    target.mkdir()
    become(host, "one")
    found = deployment.load(host.config)

    def back_up() -> None:
        make.write(make.plan(found, target), BAR, QUIET)

    for moment in machine.moments(back_up, lambda: None):
        before = keep.finished(target, HERE)
        ended = machine.cut(back_up, moment)
        whole = keep.finished(target, HERE)
        assert whole[: len(before)] == before
        assert len(whole) - len(before) == 1 if ended else len(whole) - len(before) in (0, 1)
        for each in whole:
            manifest.check(each, manifest.read(each), QUIET)
        assert (shown(host), on_disk(host)) == ("one", "one")
        assert journal.read(host.config) is None
    assert ended


def test_a_restore_leaves_the_old_or_the_new_and_one_that_was_reported_stays(machine: Machine) -> None:
    host = machine.host
    backups = both(host, machine.disk.mounted / "both")
    found = deployment.load(host.config)

    now = "two"
    for moment in machine.moments(lambda: restore(found, backups["one"]), lambda: restore(found, backups["two"])):
        wanted = {"one": "two", "two": "one"}[now]
        ended = machine.cut(lambda: restore(found, backups[wanted]), moment)  # noqa: B023
        restoring.finish(found, QUIET)
        before, now = now, on_disk(host)
        assert now in (before, wanted)
        assert now == wanted or not ended
        assert shown(host) == now
        assert journal.read(host.config) is None
    assert ended


def test_an_exchange_leaves_the_older_or_the_newer_and_one_that_was_reported_stays(machine: Machine) -> None:
    host = machine.host
    become_older(host)
    found = deployment.load(host.config)

    def exchange() -> None:
        upgrade.begin(found, lambda _: False, QUIET)
        make_newer(host)
        upgrade.prove(found, lambda: None, QUIET)

    def go_back() -> None:
        upgrade.rollback(found, upgrade.to_go_back_to(found), QUIET)

    for moment in machine.moments(exchange, go_back):
        ended = machine.cut(exchange, moment)
        restoring.finish(found, QUIET)
        now = state(host)
        assert now == "newer" or not ended
        assert annotated(host.data / sqlite.NAME) == ["before"]
        assert bool(journal.read(host.config, journal.KEPT)) == (now == "newer")
        if now == "newer":
            machine.cut(go_back, moment)
            if journal.read(host.config):
                restoring.finish(found, QUIET)
            if state(host) == "newer":
                go_back()
        assert state(host) == "older"
        assert annotated(host.data / sqlite.NAME) == ["before"]
    assert ended
