"""A host with four stand-in cards, one lost and one in two slices: its backends, from test to test of this file."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import testinfra  # type: ignore[import-untyped]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
HOST = "gpu-runtime"
GTX1080, LOST, A100, RTX3090 = (f"GPU-5a4dface-0000-4000-8000-00000000000{number}" for number in range(4))
SLICES = [f"MIG-51ce0000-0000-4000-8000-00000000002{number}" for number in range(2)]
STOP, OUTCOMES = "/tmp/watcher.stop", "/tmp/watcher.json"


@pytest.fixture(scope="module")
def machine() -> Any:
    return testinfra.get_host(f"docker://{HOST}")


def deploy(*arguments: str) -> subprocess.CompletedProcess[str]:
    inventory = str(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory")
    argv = ["ansible-playbook", "-i", inventory, str(HERE.parent / "several.yml"), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def asked(machine: Any, *words: str) -> Any:
    """Exit code 1 is an answer here: there is no Label Studio to be healthy."""
    done = machine.run(f"samstudio {' '.join(words)} --json")
    assert done.rc in (0, 1), f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def containers(machine: Any) -> dict[str, dict[str, Any]]:
    names = machine.check_output("docker ps --filter name=^sam2- --format '{{.Names}}'").split()
    return {
        each["Name"].strip("/"): each for each in json.loads(machine.check_output(f"docker inspect {' '.join(names)}"))
    }


def variable(container: dict[str, Any], name: str) -> str:
    return dict(pair.split("=", 1) for pair in container["Config"]["Env"])[name]


def gpus(machine: Any) -> dict[str, str]:
    found = containers(machine)
    return {name: variable(each, "NVIDIA_VISIBLE_DEVICES") for name, each in found.items() if name != "sam2-balancer"}


@contextmanager
def watching(machine: Any) -> Iterator[list[dict[str, Any]]]:
    """Requests through the balancer, one after the other, around the block."""
    subprocess.run(["docker", "cp", HERE / "watcher.py", f"{HOST}:/tmp/watcher.py"], check=True)
    machine.check_output(f"rm -f {STOP} {OUTCOMES}")
    argv = ["docker", "exec", HOST, "python3", "/tmp/watcher.py", STOP, OUTCOMES]
    watcher = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    outcomes: list[dict[str, Any]] = []
    try:
        yield outcomes
        time.sleep(2)
    finally:
        machine.check_output(f"touch {STOP}")
        _, complained = watcher.communicate(timeout=60)
    assert watcher.returncode == 0, complained
    outcomes += map(json.loads, machine.check_output(f"cat {OUTCOMES}").splitlines())


def test_each_gpu_that_works_and_each_slice_has_a_backend(machine: Any) -> None:
    assert gpus(machine) == {
        "sam2-backend": GTX1080,
        "sam2-backend-2": SLICES[0],
        "sam2-backend-3": SLICES[1],
        "sam2-backend-4": RTX3090,
    }


def test_the_backends_share_secrets_and_weights_and_nothing_else(machine: Any) -> None:
    found = {name: each for name, each in containers(machine).items() if name != "sam2-balancer"}
    for each in found.values():
        assert each["HostConfig"]["Runtime"] == "nvidia"
        assert each["HostConfig"]["PortBindings"] in ({}, None)
    mounts = [{mount["Destination"]: mount["Source"] for mount in each["Mounts"]} for each in found.values()]
    caches = {mount["/cache"] for mount in mounts}
    assert caches == {"/var/lib/samstudio/cache", *(f"/var/lib/samstudio/cache-{number}" for number in (2, 3, 4))}
    assert {mount["/run/secrets"] for mount in mounts} == {"/etc/samstudio/sam2-backend-secrets"}
    assert {mount["/models"] for mount in mounts} == {"/var/lib/samstudio/models"}


CARDS = {
    "gpu-runtime:1": f"NVIDIA GeForce GTX 1080 ({GTX1080})",
    "gpu-runtime:2": f"NVIDIA A100-SXM4-40GB MIG 3g.20gb ({SLICES[0]})",
    "gpu-runtime:3": f"NVIDIA A100-SXM4-40GB MIG 2g.10gb ({SLICES[1]})",
    "gpu-runtime:4": f"NVIDIA GeForce RTX 3090 ({RTX3090})",
}


def test_backends_list_status_and_doctor_show_each_gpu(machine: Any) -> None:
    listed = asked(machine, "backends", "list")
    assert listed["healthy"] is True
    assert {each["name"]: each["card"] for each in listed["backends"]} == CARDS
    assert {each["name"]: each["card"] for each in asked(machine, "status")["backends"]["servers"]} == CARDS
    findings = {each["link"]: each for each in asked(machine, "doctor")["findings"]}
    assert findings["backends"]["evidence"] == "; ".join(f"{name} on {card} UP" for name, card in CARDS.items())


def test_the_tasks_are_spread_over_all_and_each_keeps_its_backend(machine: Any) -> None:
    with watching(machine) as outcomes:
        time.sleep(3)
    answered: dict[int, set[str]] = {}
    for each in outcomes:
        answered.setdefault(each["task"], set()).add(each["gpu"])
    assert {len(met) for met in answered.values()} == {1}
    assert set.union(*answered.values()) == {GTX1080, *SLICES, RTX3090}


@pytest.mark.parametrize(("named", "missing"), [([0, 7], "7"), ([3, 1], "1"), ([LOST], LOST)])
def test_a_gpu_that_is_not_there_or_lost_is_an_error_before_anything_changes(
    machine: Any, named: list[int | str], missing: str
) -> None:
    before = {name: each["Id"] for name, each in containers(machine).items()}
    done = deploy("-e", json.dumps({"sam2_backend_gpus": named}))
    assert done.returncode == 2, done.stdout
    said = " ".join(done.stdout.split())
    assert f"no device {missing} that works. It has: 0 = {GTX1080} (NVIDIA GeForce GTX 1080), 2 = {SLICES[0]}" in said
    assert "GPU 1 (NVIDIA GeForce GTX 1080): GPU is lost" in said
    assert "changed=0" in said
    assert {name: each["Id"] for name, each in containers(machine).items()} == before


def test_with_two_cards_left_one_backend_after_the_other_is_upgraded_and_no_request_is_lost(machine: Any) -> None:
    """The sliced card is lost, so that the fourth backend's moves to the second place, whose own is gone."""
    before = containers(machine)
    machine.check_output("printf 'gtx1080\\ngtx1080 lost\\na100 lost\\nrtx3090\\n' > /etc/gpu-stand-in.card")
    with watching(machine) as outcomes:
        done = deploy("-e", "sam2_backend_threads=1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert gpus(machine) == {"sam2-backend": GTX1080, "sam2-backend-2": RTX3090}
    after = containers(machine)
    assert [name for name in after if after[name]["Id"] == before[name]["Id"]] == ["sam2-balancer"]
    assert [each for each in outcomes if not each["gpu"]] == []
    assert {len(each["out"]) for each in outcomes} == {0, 1}
    assert {name for each in outcomes for name in each["out"]} == {"gpu-runtime:1", "gpu-runtime:2"}


def test_with_one_gpu_the_backend_is_where_a_single_one_is_and_there_is_no_balancer(machine: Any) -> None:
    done = deploy("-e", json.dumps({"sam2_backend_gpus": [3]}))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    found = containers(machine)
    assert list(found) == ["sam2-backend"]
    assert variable(found["sam2-backend"], "NVIDIA_VISIBLE_DEVICES") == RTX3090
    network = found["sam2-backend"]["NetworkSettings"]["Networks"]["samstudio-several"]
    assert network["IPAMConfig"]["IPv4Address"] == "172.30.9.20"
    assert "sam2-backend.internal" in network["Aliases"]
    assert "balancer" not in machine.file("/etc/samstudio/deployment.yml").content_string
