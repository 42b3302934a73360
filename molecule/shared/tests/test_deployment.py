"""What a deployed host must look like, asked of the host itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LABEL_STUDIO = "http://127.0.0.1:8080"
SECRETS = (
    "label_studio_admin_password",
    "label_studio_secret_key",
    "label_studio_api_token",
    "backend_basic_auth_password",
)

# Read by molecule/shared/roads once the scenarios are through.
ROADS = Path(__file__).parents[3] / ".cache" / "roads"
FETCH = "import urllib.request as r; print(r.urlopen('%s').read().decode())"


def tools(host: Any, *words: str) -> dict[str, Any]:
    done = host.run("/usr/local/bin/samstudio " + " ".join(words))
    assert done.rc == 0, f"{done.stdout}\n{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_roads_that_were_taken_are_written_down(host: Any) -> None:
    choices = json.loads(host.check_output("cat /etc/samstudio/choices.json"))["choices"]
    assert choices["base_image"]
    ROADS.mkdir(parents=True, exist_ok=True)
    (ROADS / f"{host.backend.get_hostname()}.json").write_text(json.dumps(choices))


@pytest.mark.parametrize("name", ["label-studio", "sam2-backend"])
def test_container_runs_with_little_power(host: Any, name: str) -> None:
    state = json.loads(host.check_output(f"docker inspect {name}"))[0]
    assert state["State"]["Running"]
    assert state["Config"]["User"].split(":")[0] not in ("", "0", "root")
    assert state["HostConfig"]["ReadonlyRootfs"]
    assert state["HostConfig"]["CapDrop"] == ["ALL"]
    assert not state["HostConfig"]["Privileged"]
    assert state["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_label_studio_is_healthy(host: Any) -> None:
    health = json.loads(
        host.check_output(f'docker exec label-studio python3 -c "{FETCH % "http://127.0.0.1:8000/health/"}"')
    )
    assert health["status"] == "UP"


def test_backend_is_healthy_as_label_studio_sees_it(host: Any) -> None:
    seen = host.check_output(
        f'docker exec label-studio python3 -c "{FETCH % "http://sam2-backend.internal:9090/health"}"'
    )
    assert json.loads(seen)["status"] == "UP"


def test_registration_is_complete(host: Any) -> None:
    registered = tools(host, "register", "--json", "--check")
    assert registered["changed"] is False
    assert registered["project"]["ml_backend"]["state"] == "CO"
    connected = tools(host, "status", "--json")["projects"]["connected"]
    assert [(project["state"], project["interactive"]) for project in connected] == [("CO", True)]


def test_click_returns_the_drawn_shape(host: Any) -> None:
    clicked = tools(host, "click", "--json")
    assert clicked["iou"]["min"] >= 0.8, clicked


@pytest.mark.parametrize("name", SECRETS)
def test_secret_is_for_root_alone(host: Any, name: str) -> None:
    secret = host.file(f"/etc/samstudio/secrets/{name}")
    assert secret.exists
    assert secret.mode == 0o600
    assert secret.user == "root"
    assert secret.size >= 16


def test_secrets_folder_is_closed(host: Any) -> None:
    assert host.file("/etc/samstudio/secrets").mode == 0o700


def test_nothing_listens_beyond_loopback(host: Any) -> None:
    listening = [line.split()[3] for line in host.check_output("ss -Hltn").splitlines()]
    open_to_all = [address for address in listening if not address.startswith(("127.", "[::1]"))]
    assert open_to_all == []
    assert any(address.endswith(":8080") for address in listening)


def test_secrets_are_in_no_image_log_or_process_list(host: Any) -> None:
    for name in SECRETS:
        secret = host.file(f"/etc/samstudio/secrets/{name}").content_string.strip()
        places = {
            "processes": host.check_output("ps axww -o args"),
            "label-studio log": host.run("docker logs label-studio 2>&1").stdout,
            "sam2-backend log": host.run("docker logs sam2-backend 2>&1").stdout,
            "engine's view of the containers": host.check_output("docker inspect label-studio sam2-backend"),
            "image history": host.check_output(
                "docker history --no-trunc $(docker inspect -f '{{.Image}}' sam2-backend)"
            ),
        }
        assert [place for place, text in places.items() if secret in text] == []


def test_the_guard_still_refuses_other_private_addresses(host: Any) -> None:
    banned = host.check_output("docker exec label-studio printenv USER_ADDITIONAL_BANNED_SUBNETS").split(",")
    assert "10.0.0.0/8" in banned
    assert "127.0.0.0/8" in banned
    assert host.check_output("docker exec label-studio printenv ML_BLOCK_LOCAL_IP") == "true"


@pytest.mark.parametrize("name", ["label-studio", "sam2-backend"])
def test_container_comes_back_by_itself(host: Any, name: str) -> None:
    before = host.check_output("docker inspect -f '{{.State.Pid}}' " + name)
    host.check_output(f"kill -9 {before}")
    waited = host.run(
        "for i in $(seq 30); do sleep 1; "
        "[ \"$(docker inspect -f '{{.State.Health.Status}}' " + name + ')" = healthy ] && '
        "[ \"$(docker inspect -f '{{.State.Pid}}' " + name + ')" != ' + before + " ] && exit 0; done; exit 1"
    )
    assert waited.rc == 0, f"{name} was not healthy 30 s after its main process was killed"
    assert tools(host, "click", "--json")["iou"]["min"] >= 0.8
