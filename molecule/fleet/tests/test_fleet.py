"""A fleet as people meet it: clicks while backends die or are upgraded, strangers at its ports, signing in over TLS."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BACKENDS = {"fleet-gpu1": "10.77.9.11", "fleet-gpu2": "10.77.9.12"}
#: Two failed looks, two seconds apart, a second each at most, and one on top.
HEALTH_SECONDS = 6


def served_by(fleet: Any) -> dict[int, set[str]]:
    """The backends that answered each task's clicks, from the balancer's log."""
    log = fleet.studio.run("docker logs sam2-balancer 2>&1").stdout
    found: dict[int, set[str]] = {}
    for task, server in re.findall(r"POST /predict 200 \d+ ms, task (\d+), (\S+),", log):
        found.setdefault(int(task), set()).add(server)
    return found


def containers(fleet: Any) -> dict[str, str]:
    return {name: fleet.host(name).check_output("docker inspect -f '{{.Id}}' sam2-backend") for name in BACKENDS}


def test_everything_is_healthy_and_every_backend_segments(fleet: Any) -> None:
    assert fleet.tools("status")["healthy"] is True
    assert fleet.states() == dict.fromkeys(BACKENDS, "UP")
    for name in BACKENDS:
        assert fleet.tools("backends", "click", name)["iou"]["min"] >= 0.8


def test_doctor_finds_nothing_broken(fleet: Any) -> None:
    found = fleet.studio.run("samstudio doctor --json")
    findings = json.loads(found.stdout)["findings"]
    remarks = [finding for finding in findings if finding["status"] in ("fail", "warn")]
    assert [finding["cause"] for finding in remarks] == ["model-demo"]


def test_a_task_keeps_meeting_the_same_backend(fleet: Any, tasks: list[int]) -> None:
    with fleet.clicking(tasks) as clicks:
        pass
    assert clicks.failed() == []
    servers = {task: served_by(fleet)[task] for task in tasks}
    assert {len(met) for met in servers.values()} == {1}
    assert set.union(*servers.values()) == set(BACKENDS)


def test_no_click_is_lost_when_a_backend_dies(fleet: Any, tasks: list[int]) -> None:
    with fleet.clicking(tasks) as clicks:
        killed = time.time()
        fleet.host("fleet-gpu1").check_output("docker kill sam2-backend")
        fleet.eventually(lambda: fleet.states()["fleet-gpu1"].startswith("DOWN"))
    fleet.host("fleet-gpu1").check_output("docker start sam2-backend")
    assert clicks.failed(after=killed + HEALTH_SECONDS) == []
    assert len(clicks.outcomes) >= 3 * len(tasks)
    fleet.eventually(lambda: fleet.states()["fleet-gpu1"] == "UP", 120)


def test_upgrade_under_load_loses_no_click(fleet: Any, tasks: list[int]) -> None:
    before = containers(fleet)
    inventory = str(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory")
    root = HERE.parents[2]
    deploy = ["ansible-playbook", "-i", inventory, "site.yml", "--tags", "sam2_backend", "-e", "sam2_backend_threads=1"]
    with fleet.clicking(tasks) as clicks:
        done = subprocess.run(deploy, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    after = containers(fleet)
    assert {name for name in BACKENDS if before[name] == after[name]} == set()
    assert clicks.failed() == []
    assert fleet.states() == dict.fromkeys(BACKENDS, "UP")


@pytest.mark.parametrize(
    ("name", "port", "guard"),
    [
        ("fleet-gpu1", 9090, "samstudio-guard-sam2-backend"),
        ("fleet-gpu2", 9090, "samstudio-guard-sam2-backend"),
        ("fleet-gpu2", 5432, "samstudio-guard-database"),
    ],
)
def test_only_label_studios_host_reaches_a_port(fleet: Any, name: str, port: int, guard: str) -> None:
    address = BACKENDS[name]
    assert fleet.reach("fleet-studio", address, port) == "open"
    assert fleet.reach("fleet-outsider", address, port) == "TimeoutError"
    fleet.host(name).check_output(f"systemctl stop {guard}")
    try:
        assert fleet.reach("fleet-outsider", address, port) == "open", "the outsider is kept out by something else"
    finally:
        fleet.host(name).check_output(f"systemctl start {guard}")
    assert fleet.reach("fleet-outsider", address, port) == "TimeoutError"


def test_the_database_is_on_its_host_alone(fleet: Any) -> None:
    psql = "PGPASSWORD=$(cat /run/secrets/postgres_password) psql -h /tmp -U label_studio -d label_studio -qAt"
    asked = f"docker exec label-studio-database sh -c '{psql} -c \"SELECT count(*) FROM project\"'"
    assert int(fleet.host("fleet-gpu2").check_output(asked)) >= 1
    assert "label-studio-database" not in fleet.studio.check_output("docker ps --all --format '{{.Names}}'").split()


def test_the_database_is_asked_over_tls_with_its_own_certificate(fleet: Any) -> None:
    connect = (
        "import os, psycopg; "
        "given = dict((key, os.environ['POSTGRE_' + key.upper()]) for key in ('host', 'port', 'user')); "
        "password = open('/run/secrets/postgres_password').read().strip(); "
        "print(psycopg.connect(dbname='label_studio', password=password, connect_timeout=5, **given).pgconn.ssl_in_use)"
    )
    ask = f'docker exec {{}} label-studio python3 -c "{connect}"'
    assert fleet.studio.check_output(ask.format("")) == "True"
    stranger = fleet.studio.run(ask.format("-e PGSSLROOTCERT=/etc/ssl/certs/ca-certificates.crt"))
    assert "certificate verify failed" in stranger.stderr


def test_the_guard_outlives_the_engine_and_keeps_the_way_past_the_published_port_shut(fleet: Any) -> None:
    gpu, outsider = fleet.host("fleet-gpu2"), fleet.host("fleet-outsider")
    gpu.check_output("systemctl restart docker")
    fleet.eventually(lambda: fleet.states()["fleet-gpu2"] == "UP", 120)
    assert fleet.reach("fleet-outsider", "10.77.9.12") == "TimeoutError"
    outsider.check_output("ip route replace 172.30.9.0/24 via 10.77.9.12")
    try:
        assert fleet.reach("fleet-outsider", "172.30.9.21") == "TimeoutError"
    finally:
        outsider.check_output("ip route del 172.30.9.0/24")
    assert gpu.service("samstudio-guard-sam2-backend").is_enabled


@pytest.mark.parametrize("port", [5432, 8080, 9090])
def test_label_studios_host_shows_strangers_nothing_but_the_proxy(fleet: Any, port: int) -> None:
    assert fleet.reach("fleet-outsider", "10.77.9.10", port) == "ConnectionRefusedError"


def test_signing_in_over_tls(fleet: Any) -> None:
    studio = fleet.studio
    given = {
        "address": "https://label.lab.example",
        "email": "admin@samstudio.local",
        "password": studio.check_output("cat /etc/samstudio/secrets/label_studio_admin_password"),
        "ca": studio.check_output("cat /etc/samstudio/label-studio-ca.crt"),
    }
    visitor = fleet.python("fleet-outsider", HERE / "visitor.py", given=json.dumps(given))
    said, complained = visitor.communicate(timeout=120)
    assert visitor.returncode == 0, complained
    seen: dict[str, Any] = json.loads(said)
    assert seen["plain"] == [301, "https://label.lab.example/projects/?page=1"]
    assert seen["hsts"] == "max-age=31536000"
    assert seen["login_page"] == 200
    assert seen["signed_in"][0] == 302
    assert seen["api"] == 200
    assert {"sessionid", "csrftoken"} <= set(seen["cookies"])
    assert seen["insecure_cookies"] == []


def test_the_exemption_is_one_address_whatever_the_number_of_backends(fleet: Any) -> None:
    shown = fleet.tools("ssrf", "show")
    assert shown["narrow"] is True
    assert [each["address"] for each in shown["addresses"]] == ["172.30.9.20"]


@pytest.mark.parametrize("name", ["sam2-balancer", "label-studio-tls", "label-studio"])
def test_container_on_label_studios_host_runs_with_little_power(fleet: Any, name: str) -> None:
    restricted(fleet.studio, name)


def test_database_runs_with_little_power(fleet: Any) -> None:
    restricted(fleet.host("fleet-gpu2"), "label-studio-database")


@pytest.mark.parametrize("name", BACKENDS)
def test_backend_elsewhere_runs_with_little_power_and_asks_over_tls(fleet: Any, name: str) -> None:
    state = restricted(fleet.host(name), "sam2-backend")
    assert "LABEL_STUDIO_URL=https://label.lab.example" in state["Config"]["Env"]


def restricted(machine: Any, name: str) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(machine.check_output(f"docker inspect {name}"))[0]
    assert state["State"]["Running"]
    assert state["Config"]["User"].split(":")[0] not in ("", "0", "root")
    assert state["HostConfig"]["ReadonlyRootfs"]
    assert state["HostConfig"]["CapDrop"] == ["ALL"]
    return state


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backends_host_has_the_two_secrets_it_needs_and_shows_neither(fleet: Any, name: str) -> None:
    machine, studio = fleet.host(name), fleet.studio
    folder = "/etc/samstudio/sam2-backend-secrets"
    assert machine.check_output(f"ls {folder}").split() == ["backend_basic_auth_password", "label_studio_api_token"]
    assert not machine.file("/etc/samstudio/secrets").exists
    for secret in ("backend_basic_auth_password", "label_studio_api_token"):
        assert machine.file(f"{folder}/{secret}").mode == 0o400
        value = studio.check_output(f"cat /etc/samstudio/secrets/{secret}")
        assert machine.check_output(f"cat {folder}/{secret}") == value
        seen = machine.check_output("ps axww -o args; docker inspect sam2-backend; docker logs sam2-backend 2>&1")
        assert value not in seen
