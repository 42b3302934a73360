"""From what a host has to what will be used: each row a host, or a host's misfortune."""

from __future__ import annotations

import json
from typing import Any

import pytest
from samstudio.preflight import rows

from .preflight_host import FACTS, GPU, OFFLINE, SETTINGS, UNREACHABLE, decide, engine


def test_connected_host_takes_the_normal_route() -> None:
    decided = decide()
    assert decided["problems"] == []
    assert decided["choices"] == {
        "docker_engine": "docker_repository",
        "docker_engine_source": "docker_repository",
        "base_image": "registry",
        "device": "cpu",
        "gpu": "",
        "torch_version": "2.13.0",
        "torch_index_url": "https://download.example.com/cpu",
        "model": "tiny",
    }


def test_host_without_a_backend_needs_no_model_and_no_torch() -> None:
    decided = decide(OFFLINE, {"backend": False})
    assert decided["problems"] == []
    assert decided["choices"]["device"] == "none"
    assert not {"gpu", "torch_version", "model"} & set(decided["choices"])


def test_host_of_the_database_alone_may_be_small() -> None:
    small = {"memory_bytes": 2 * 2**30, "free_bytes": {"/": 5 * 2**30}}
    assert decide(small, {"label_studio": False, "backend": False})["problems"] == []
    assert len(decide(small)["problems"]) == 2


def test_strict_network_takes_what_is_there() -> None:
    decided = decide(OFFLINE, {"demo_fallback": True})
    assert decided["problems"] == []
    assert decided["choices"] == {
        "docker_engine": "distribution",
        "docker_engine_source": "distribution",
        "base_image": "mirror",
        "base_mirror": "http://mirror.example.com/debian",
        "base_security_mirror": "",
        "device": "cpu",
        "gpu": "",
        "torch_version": "2.13.0",
        "torch_index_url": "",
        "model": "demo",
    }


@pytest.mark.parametrize(("security", "told"), [("", True), ("http://mirror.example.com/debian-security", False)])
def test_a_base_image_without_security_updates_is_told(security: str, told: bool) -> None:
    mirrors = {"main": "http://mirror.example.com/debian", "security": security}
    rows_ = decide({**OFFLINE, "debian_mirror": mirrors}, {"demo_fallback": True})["rows"]
    assert [row["found"] for row in rows_ if row["what"] == "security updates"] == ["no archive of them"] * told


@pytest.mark.parametrize(
    ("facts", "settings", "choice"),
    [
        pytest.param(
            engine(installed=True, version="20.10.24+dfsg1"),
            {},
            ("docker_engine", "existing"),
            id="a working engine is left alone",
        ),
        pytest.param(
            engine(installed=True, error="Cannot connect to the Docker daemon"),
            {},
            ("docker_engine", "start"),
            id="a stopped engine is started",
        ),
        pytest.param(
            {**OFFLINE, "files": {SETTINGS["checkpoint_path"]: 156_008_466}},
            {},
            ("model", "tiny"),
            id="weights fetched before need no network",
        ),
        pytest.param(
            {**OFFLINE, "files": {"/mnt/tiny.pt": 156_008_466}},
            {"checkpoint_file": "/mnt/tiny.pt"},
            ("model", "tiny"),
            id="weights from a file",
        ),
        pytest.param({}, {"gpu": GPU}, ("device", "cuda"), id="a GPU that works is taken"),
        pytest.param({}, {"gpu": GPU}, ("gpu", "GPU-2"), id="the one with the most memory"),
        pytest.param(
            {}, {"gpu": GPU}, ("torch_index_url", "https://download.example.com/cu126"), id="torch for its driver"
        ),
        pytest.param({}, {"docker_engine_source": "distribution"}, ("docker_engine", "distribution"), id="insisted"),
    ],
)
def test_choice(facts: dict[str, Any], settings: dict[str, Any], choice: tuple[str, str]) -> None:
    decided = decide(facts, settings)
    assert decided["problems"] == []
    assert decided["choices"][choice[0]] == choice[1]


@pytest.mark.parametrize(
    ("facts", "settings", "says"),
    [
        pytest.param({"ports": {"8080": '("nginx",pid=7)'}}, {}, ["nginx", "label_studio_port=8081"], id="port taken"),
        pytest.param({"free_bytes": {"/data": 2**30}}, {}, ["/data", "1.0 GiB", "12.0 GiB"], id="disk full"),
        pytest.param(
            {"free_bytes": {"/data": 5 * 2**30}, "own_images": ["0123456789ab"]},
            {},
            ["5.0 GiB", "6.0 GiB"],
            id="disk too full to go on",
        ),
        pytest.param(
            {"free_bytes": {"/data": 11 * 2**30, "/var/lib/docker": 2**30}},
            {},
            ["/var/lib/docker", "1.0 GiB", "10.0 GiB"],
            id="the engine's disk full",
        ),
        pytest.param({"memory_bytes": 2 * 2**30}, {}, ["2.0 GiB", "6.0 GiB"], id="little memory"),
        pytest.param({"python": "3.7.3"}, {}, ["3.7.3", "3.9"], id="old Python"),
        pytest.param({"uid": 1000}, {}, ["uid 1000", "ansible_become", "--ask-become-pass"], id="not root"),
        pytest.param(
            {"os": {**FACTS["os"], "id": "fedora", "version": "43", "name": "Fedora 43"}},
            {},
            ["Fedora 43", "Docker engine yourself"],
            id="unsupported system without an engine",
        ),
        pytest.param(
            engine(installed=True, version="19.03.5"),
            {},
            ["19.03.5", "20.10"],
            id="old engine",
        ),
        pytest.param(
            {"images_problem": "Permission denied: /data"},
            {"images": "/data"},
            ["Permission denied", "chmod -R o+rX /data"],
            id="unreadable images",
        ),
        pytest.param(
            {"routes": ["172.30.0.0/16 vpn0"]},
            {},
            ["vpn0", "samstudio_network_subnet"],
            id="subnet taken",
        ),
        pytest.param(
            OFFLINE,
            {},
            [UNREACHABLE, "sam2_backend_checkpoint_file", "sam2_backend_model=demo"],
            id="weights out of reach stop a host that asked for them",
        ),
        pytest.param(
            {},
            {"gpu": {**SETTINGS["gpu"], "fix": "Take the CPU."}},
            ["no NVIDIA", "the CPU"],
            id="a GPU's own stop",
        ),
        pytest.param(
            {},
            {
                "gpu": {
                    **GPU,
                    "rows": [
                        {
                            "what": "NVIDIA driver",
                            "found": "none",
                            "use": "-",
                            "why": "Secure Boot is on",
                            "fix": "Enrol the key.",
                        }
                    ],
                }
            },
            ["NVIDIA driver", "Secure Boot", "Enrol"],
            id="a driver that cannot be installed",
        ),
        pytest.param(
            {},
            {"checkpoint_file": "/mnt/tiny.pt"},
            ["/mnt/tiny.pt is missing"],
            id="checkpoint file missing",
        ),
        pytest.param(
            {**OFFLINE, "debian_mirror": {"main": "", "security": ""}},
            {"demo_fallback": True},
            ["base image", "registry"],
            id="neither registry nor mirror",
        ),
        pytest.param(
            {**OFFLINE, "unreachable": {**OFFLINE["unreachable"], "debian_mirror": "Connection refused"}},
            {"demo_fallback": True},
            ["mirror.example.com", "Connection refused", "sources.list"],
            id="Debian mirror down",
        ),
        pytest.param(
            {
                "pip": {**FACTS["pip"], "index_url": "http://mirror.example.com/simple"},
                "unreachable": {**FACTS["unreachable"], "pip_index": "Connection refused"},
            },
            {},
            ["http://mirror.example.com/simple: Connection refused", "/etc/pip.conf"],
            id="Python mirror down",
        ),
        pytest.param(
            OFFLINE,
            {"docker_engine_source": "docker_repository", "demo_fallback": True},
            ["Docker engine", "docker_engine_source"],
            id="insisting on what cannot be reached",
        ),
    ],
)
def test_problem_is_named_with_its_mend(facts: dict[str, Any], settings: dict[str, Any], says: list[str]) -> None:
    problems = decide(facts, settings)["problems"]
    assert len(problems) == 1
    for text in says:
        assert text in problems[0]


BUNDLE: dict[str, Any] = {
    "members": 900,
    "bytes": 3 * 2**30,
    "manifest": {
        "created": "2026-11-22T10:00:00+00:00",
        "project": {"commit": "", "digest": SETTINGS["project_digest"]},
        "images": {"samstudio/label-studio:1.23.2-a": "sha256:1", "samstudio/sam2-backend:b": "sha256:2"},
        "choices": {
            "base_image": "mirror",
            "device": "cpu",
            "model": "tiny",
            "torch_version": "2.13.0",
            "torch_index_url": "",
        },
    },
}
#: a host that was asked about no address at all
UNASKED = {"unreachable": {}, "debian_mirror": {"main": "", "security": ""}}


def shipped(**choices: str) -> dict[str, Any]:
    manifest = BUNDLE["manifest"]
    return {**BUNDLE, "manifest": {**manifest, "choices": {**manifest["choices"], **choices}}}


def test_from_a_bundle_nothing_is_asked_of_the_network() -> None:
    decided = decide(UNASKED, {"bundle": BUNDLE})
    assert decided["problems"] == []
    assert decided["choices"] == {
        "docker_engine": "distribution",
        "docker_engine_source": "distribution",
        "base_image": "mirror",
        "device": "cpu",
        "gpu": "",
        "torch_version": "2.13.0",
        "torch_index_url": "",
        "model": "tiny",
    }


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({"bundle": shipped(model="demo")}, ("model", "demo")),
        ({"bundle": BUNDLE, "model": "demo", "model_asked": "demo"}, ("model", "demo")),
        ({"bundle": BUNDLE, "gpu": GPU}, ("device", "cpu")),
        ({"bundle": shipped(device="cuda"), "gpu": GPU}, ("device", "cuda")),
    ],
)
def test_choice_from_a_bundle(settings: dict[str, Any], choice: tuple[str, str]) -> None:
    decided = decide(UNASKED, settings)
    assert decided["problems"] == []
    assert decided["choices"][choice[0]] == choice[1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param(
            {
                "bundle": {
                    "problem": {
                        "message": "The bundle is damaged.",
                        "found": "debs/a",
                        "expected": "b",
                        "command": "copy it",
                    }
                }
            },
            ["damaged", "debs/a", "copy it"],
            id="damaged",
        ),
        pytest.param(
            {"bundle": BUNDLE, "project_digest": "ba9876543210"},
            ["0123456789ab", "ba9876543210", "tar -xf"],
            id="another tree's",
        ),
        pytest.param(
            {"bundle": BUNDLE, "model": "large", "model_asked": "large"},
            ["tiny in the bundle", "sam2_backend_model=large"],
            id="another model's",
        ),
        pytest.param(
            {"bundle": BUNDLE, "database": "postgresql"},
            ["PostgreSQL", "label_studio_database"],
            id="no database",
        ),
        pytest.param(
            {"bundle": shipped(device="cuda"), "gpu": {**GPU, "workers": []}},
            ["driver"],
            id="no driver",
        ),
    ],
)
def test_problem_of_a_bundle(settings: dict[str, Any], says: list[str]) -> None:
    problems = decide(UNASKED, settings)["problems"]
    assert len(problems) == 1
    for text in says:
        assert text in problems[0]


def test_a_deployed_host_outlives_its_mirrors() -> None:
    down = {"debian_mirror": "Connection refused", "pip_index": "Connection refused"}
    found = {"own_containers": ["label-studio"], "network_subnet": SETTINGS["subnet"]}
    decided = decide({**OFFLINE, **found, "unreachable": {**OFFLINE["unreachable"], **down}}, {"demo_fallback": True})
    assert decided["problems"] == []


def test_table_shows_each_row_and_what_to_change() -> None:
    decided = decide({"free_bytes": {"/data": 2**30}})
    lines = rows.table(decided)
    assert lines[0].split()[0] == "what"
    assert any(line.startswith("  >> Free some space") for line in lines)
    assert len(lines) == len(decided["rows"]) + 3


def test_a_deployed_host_passes() -> None:
    deployed = {
        "own_containers": ["label-studio"],
        "own_images": ["0123456789ab"],
        "network_subnet": SETTINGS["subnet"],
    }
    routes = [f"{SETTINGS['subnet']} br-1"]
    decided = decide({**deployed, "free_bytes": {"/data": 3 * 2**30}, "routes": routes})
    assert decided["problems"] == []


def test_no_password_is_shown() -> None:
    index = "https://lab:s3cret@index.example.com/simple"
    pip = {**FACTS["pip"], "index_url": index, "extra_index_url": ["https://s3cret@other.example.com/simple"]}
    refused = {**FACTS["unreachable"], "pip_index": "HTTP 500"}
    proxies = {"http_proxy": "http://me:s3cret@proxy.example.com:3128"}
    decided = decide({"pip": pip, "unreachable": refused, "proxies": proxies})
    shown = "\n".join([*rows.table(decided), *decided["problems"], json.dumps(decided["rows"])])
    assert "https://lab:…@index.example.com/simple, https://…@other.example.com" in decided["problems"][0]
    assert "s3cret" not in shown


def test_an_index_with_a_password_stays_out_of_images() -> None:
    problems = decide({}, {"torch_index_url": "https://lab:s3cret@torch.example.com/cpu"})["problems"]
    assert len(problems) == 1
    assert "/etc/pip.conf" in problems[0]
    assert "s3cret" not in problems[0]


def test_a_registry_of_the_labs_own_is_named() -> None:
    decided = decide({}, {"registry": "harbor.example.com"})
    assert "harbor.example.com answers" in {row["found"] for row in decided["rows"]}
