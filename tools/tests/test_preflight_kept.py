"""What a deploy chose stays chosen, whatever the network does, until somebody asks for something else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from samstudio.preflight import backend

from .preflight_host import FACTS, GPU, OFFLINE, SETTINGS, UNREACHABLE, decide, engine

DEPLOYED: dict[str, Any] = {
    **engine(installed=True, version="28.2.2"),
    "own_containers": ["label-studio"],
    "own_images": ["0123456789ab"],
    "network_subnet": SETTINGS["subnet"],
    "files": {SETTINGS["checkpoint_path"]: SETTINGS["checkpoint_bytes"]},
}
LATER = {"today": "2027-01-31"}


def deployed(facts: dict[str, Any] | None = None, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a first deploy writes down."""
    record: dict[str, Any] = decide(facts, settings)["record"]
    return record


def down(source: str) -> dict[str, Any]:
    return {**DEPLOYED, "unreachable": {**FACTS["unreachable"], source: "timed out"}}


@pytest.mark.parametrize("source", [*FACTS["unreachable"], "debian_mirror", "pip_index"])
@pytest.mark.parametrize("first", [FACTS, OFFLINE], ids=["connected", "strict network"])
def test_a_source_that_is_down_changes_and_refuses_nothing(first: dict[str, Any], source: str) -> None:
    record = deployed({"unreachable": first["unreachable"]}, {"demo_fallback": True})
    before = decide({**DEPLOYED, "unreachable": first["unreachable"]}, LATER, record)
    after = decide(down(source), LATER, record)
    assert after["problems"] == []
    assert after["choices"] == before["choices"]
    assert after["record"] == record


@pytest.mark.parametrize("key", ["base_image", "torch_index_url", "model"])
def test_a_source_that_comes_back_changes_nothing_either(key: str) -> None:
    record = deployed(OFFLINE, {"demo_fallback": True})
    assert decide(DEPLOYED, LATER, record)["choices"][key] == record["choices"][key]
    assert decide(DEPLOYED, {**LATER, "reconsider": True}, record)["choices"][key] != record["choices"][key]


def test_the_table_says_since_when_and_how_to_change_it() -> None:
    record = deployed(OFFLINE, {"demo_fallback": True})
    rows = {row["what"]: row for row in decide(DEPLOYED, LATER, record)["rows"]}
    for what in ("base image", "PyTorch", "SAM2 model"):
        assert "as chosen on 2026-11-24; --reconsider looks anew" in rows[what]["why"]
    assert "DEMO MODEL" in rows["SAM2 model"]["why"]
    assert rows["SAM2 model"]["found"] == "official weights can be fetched now"


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ({"model": "small", "model_asked": "small"}, "model", "small"),
        ({"torch_index_url": "https://other.example.com/cpu"}, "torch_index_url", "https://other.example.com/cpu"),
    ],
)
def test_an_explicit_setting_wins_and_is_kept(settings: dict[str, Any], key: str, value: str) -> None:
    asked = decide(DEPLOYED, {**LATER, **settings}, deployed())
    assert asked["choices"][key] == value
    assert asked["record"]["date"] == LATER["today"]
    assert decide(DEPLOYED, LATER, asked["record"])["choices"][key] == value


def test_the_source_of_an_engine_is_kept_until_there_is_one() -> None:
    record = deployed()
    refused = {"unreachable": {**FACTS["unreachable"], "docker_repository": "timed out"}}
    problems = decide(refused, LATER, record)["problems"]
    assert len(problems) == 1
    assert "timed out" in problems[0]
    assert "--reconsider" in problems[0]
    assert decide(refused, {**LATER, "docker_engine_source": "distribution"}, record)["problems"] == []


def test_a_mirror_that_moved_is_another_wish_and_one_that_was_added_is_none() -> None:
    record = deployed(OFFLINE, {"demo_fallback": True})
    old, new = record["choices"]["base_mirror"], "http://new.example.com/debian"
    source = {"suite": "bookworm", "component": "main"}
    new_facts = {**DEPLOYED, "debian_mirror": {"main": new, "security": ""}}
    added = {**new_facts, "apt_sources": [{**source, "address": address} for address in (new, old)]}
    moved = {**new_facts, "apt_sources": [{**source, "address": new}]}
    assert decide(added, LATER, record)["choices"]["base_mirror"] == old
    assert decide(moved, LATER, record)["choices"]["base_mirror"] == new


def test_a_gpu_that_is_gone_stops_instead_of_switching() -> None:
    record = deployed(None, {"gpu": GPU})
    assert record["choices"]["gpu"] == "GPU-2"
    problems = decide(DEPLOYED, LATER, record)["problems"]
    assert len(problems) == 1
    assert "sam2_backend_device=cpu" in problems[0]
    bigger = {**GPU, "workers": [*GPU["workers"], {"device": "GPU-3", "name": "H200", "memory_mib": 144000}]}
    assert decide(DEPLOYED, {**LATER, "gpu": bigger}, record)["choices"]["gpu"] == "GPU-2"
    newer = {**GPU, "index": "cu130"}
    assert decide(DEPLOYED, {**LATER, "gpu": newer}, record)["choices"]["torch_index_url"].endswith("/cu126")


def test_a_gpu_that_came_later_waits_to_be_asked_for() -> None:
    chosen = decide(DEPLOYED, {**LATER, "gpu": GPU}, deployed())["choices"]
    assert (chosen["device"], chosen["gpu"]) == ("cpu", "")
    assert chosen["torch_index_url"].endswith("/cpu")
    asked = decide(DEPLOYED, {**LATER, "gpu": GPU, "device_asked": "cuda"}, deployed())["choices"]
    assert asked["device"] == "cuda"


def test_the_cpu_in_place_of_a_gpu_that_waits_for_a_reboot_is_not_kept() -> None:
    row = {"what": "NVIDIA driver", "found": "none that works", "use": "install, reboot later", "why": "", "fix": ""}
    waiting = {**SETTINGS["gpu"], "rows": [row]}
    record = deployed(None, {"gpu": waiting})
    assert decide(DEPLOYED, {**LATER, "gpu": GPU}, record)["choices"]["device"] == "cuda"


def test_an_upgrade_of_the_project_brings_its_own_torch() -> None:
    record = copy.deepcopy(deployed(None, {"gpu": GPU}))
    record["choices"]["torch_index_url"] = "https://download.example.com/cu118"
    chosen = decide(DEPLOYED, {**LATER, "gpu": GPU}, record)["choices"]
    assert chosen["torch_index_url"].endswith("/cu126")


ASKED = {"asked": "auto", "device": "auto", "fitting": "large", "weights": ["", ""], "reconsider": False}
DEMO = {"date": "2026-11-24", "choices": {"model": "demo", "device": "cpu"}}


def test_one_model_fits_every_gpu_that_has_a_backend() -> None:
    sizes = [{"model_size": size} for size in ("large", "base_plus", "large")]
    assert backend.fitting(sizes) == "base_plus"
    assert backend.fitting([]) == "tiny"


@pytest.mark.parametrize(
    ("settings", "remembered", "model"),
    [
        ({}, {}, "large"),
        ({"device": "cpu"}, {}, "tiny"),
        ({}, DEMO, "demo"),
        ({"asked": "small"}, DEMO, "small"),
        ({"weights": ["/mnt/tiny.pt", ""]}, DEMO, "tiny"),
        ({"reconsider": True}, DEMO, "large"),
        ({"device": "cuda"}, DEMO, "large"),
        ({}, {"date": "2026-11-24", "choices": {"model": "small", "device": "cuda"}}, "small"),
        ({"fitting": "tiny"}, {"date": "2026-11-24", "choices": {"model": "large", "device": "cuda"}}, "tiny"),
        ({"fitting": "tiny"}, {"date": "2026-11-24", "choices": {"model": "small", "device": "cpu"}}, "small"),
    ],
)
def test_which_model_is_wanted(settings: dict[str, Any], remembered: dict[str, Any], model: str) -> None:
    assert backend.wanted_model({**ASKED, **settings}, remembered) == model


def test_weights_that_are_lost_are_asked_for_again() -> None:
    problems = decide({**DEPLOYED, **OFFLINE, "files": {}}, {**LATER, "demo_fallback": True}, deployed())["problems"]
    assert len(problems) == 1
    assert UNREACHABLE in problems[0]
