"""The deployed host as a machine: its disk is made once, and every test starts and stops the same one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
PORT = 2299
SECONDS_TO_BOOT = 600  # the emulator is about twelve times slower than the processor, and shares it
SECONDS_TO_ANSWER = 1800
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=30")


class Machine:
    """A QEMU process, and SSH into what it runs as the user who deployed."""

    def __init__(self, folder: Path, key: Path) -> None:
        self.folder, self.key = folder, key
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen([str(HERE / "boot"), str(self.folder), str(PORT), *options])
        self.wait_until_up()

    def deploy(self, **variables: str) -> subprocess.Popen[str]:
        """`site.yml` begins, over SSH, as the same user as before."""
        reached = {
            "ansible_host": "127.0.0.1",
            "ansible_port": PORT,
            "ansible_user": "admin",
            "ansible_become": True,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": " ".join(f"-o{option}" for option in SSH_OPTIONS),
            "sam2_backend_demo_fallback": True,
            **variables,
        }
        groups = {"label_studio_hosts": {"hosts": {"samstudio-vm": {}}}, "sam2_hosts": {"hosts": {"samstudio-vm": {}}}}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"vars": reached, "children": groups}}))
        words = ["ansible-playbook", "--inventory", str(inventory), "site.yml"]
        return subprocess.Popen(words, cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def cut_the_power(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def reboot(self) -> None:
        before = self.check("cat /proc/sys/kernel/random/boot_id")
        self.run("sudo systemctl reboot")
        self.wait_until(f"test $(cat /proc/sys/kernel/random/boot_id) != {before}", SECONDS_TO_BOOT)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        self.wait_until("true", SECONDS_TO_BOOT)
        self.run("systemctl is-system-running --wait", SECONDS_TO_BOOT)

    def run(self, command: str, timeout: int = 120) -> subprocess.CompletedProcess[str]:
        words = ["ssh", "-i", str(self.key), "-p", str(PORT), *(f"-o{option}" for option in SSH_OPTIONS)]
        try:
            return subprocess.run(
                [*words, "admin@127.0.0.1", command], capture_output=True, check=False, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired as expired:
            return subprocess.CompletedProcess(expired.cmd, 124, "", f"no answer within {timeout} s")

    def check(self, command: str, timeout: int = 120) -> str:
        done = self.run(command, timeout)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def state(self, container: str) -> str:
        return self.check(f"sudo docker inspect --format '{{{{.State.Status}}}}' {container}")

    def wait_for(self, container: str, shown: str, value: str) -> None:
        self.wait_until(f"test \"$(sudo docker inspect --format '{shown}' {container})\" = {value}")

    def wait_until(self, command: str, seconds: int = SECONDS_TO_ANSWER) -> None:
        """Until the command ends with 0 in the machine."""
        ends = time.monotonic() + seconds
        while (done := self.run(command)).returncode != 0:
            assert time.monotonic() < ends, f"{command}: {done.stderr}\n{self._console()}"
            time.sleep(3)

    def _console(self) -> str:
        log = self.folder / "console.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    ephemeral = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    folder = ephemeral / "machine"
    if not (folder / "disk.img").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([str(HERE / "make-disk"), "samstudio-vm", str(folder)], check=True, timeout=1800)
    found = Machine(folder, ephemeral / "key")
    found.start()
    yield found
    found.cut_the_power()
