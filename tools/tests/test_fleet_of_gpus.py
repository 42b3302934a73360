"""A host with several GPUs is to the balancer several hosts: names, containers, folders, addresses and ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
from samstudio import fleet
from samstudio.fleet import backends_of_fleet, backends_of_host, ids_on_ring

from tools.tests.preflight_host import GPU, decide

ROOT = Path(__file__).parents[2]
WORKERS = [{"device": "GPU-1", "name": "T4"}, {"device": "GPU-2", "name": "A40"}]
HERE: dict[str, Any] = {
    "host": "gpu1",
    "container": "sam2-backend",
    "cache": "/data/cache",
    "port": 9090,
    "subnet": "172.30.9.0/24",
    "address": "172.30.9.21",
    "listen": "",
}
ELSEWHERE = {**HERE, "listen": "10.0.0.11"}


def test_a_host_with_one_gpu_has_one_backend_as_ever() -> None:
    assert backends_of_host("GPU-2", WORKERS, ELSEWHERE) == [
        {
            "name": "gpu1",
            "host": "gpu1",
            "container": "sam2-backend",
            "cache": "/data/cache",
            "address": "172.30.9.21",
            "port": 9090,
            "reached_at": "10.0.0.11:9090",
            "device": "GPU-2",
            "card": "A40 (GPU-2)",
        }
    ]
    alone = backends_of_host("", [], HERE)
    assert [(each["name"], each["device"], each["card"], each["reached_at"]) for each in alone] == [
        ("gpu1", "", "", "172.30.9.21:9090")
    ]


def test_the_first_of_several_is_what_the_only_one_was() -> None:
    one, (first, _) = backends_of_host("GPU-1", WORKERS, HERE)[0], backends_of_host("GPU-1,GPU-2", WORKERS, HERE)
    assert {**first, "name": "gpu1"} == one


@pytest.mark.parametrize("settings", [HERE, ELSEWHERE])
def test_no_two_backends_share_anything(settings: dict[str, Any]) -> None:
    backends = backends_of_host("GPU-1,GPU-2,GPU-3,GPU-4", WORKERS, settings)
    assert [each["name"] for each in backends] == ["gpu1:1", "gpu1:2", "gpu1:3", "gpu1:4"]
    assert [each["container"] for each in backends[1:]] == ["sam2-backend-2", "sam2-backend-3", "sam2-backend-4"]
    for key in ("name", "container", "cache", "address", "port", "reached_at", "device"):
        assert len({each[key] for each in backends}) == 4, key
    assert not {each["address"] for each in backends} & {"172.30.9.10", "172.30.9.20", "172.30.9.30", "172.30.9.40"}


def test_a_fleet_is_every_backend_of_every_host() -> None:
    seen = backends_of_host("GPU-1,GPU-2", WORKERS, ELSEWHERE)
    written = [
        {"name": f"gpu2:{n}", "host": "gpu2", "container": "c", "reached_at": f"10.0.0.12:{n}", "card": ""}
        for n in (1, 2)
    ]
    stale = [{"name": "gpu1", "host": "gpu1", "container": "c", "reached_at": "10.0.0.11:9090", "card": ""}]
    unseen = {"gpu2": "10.0.0.12:9090", "gpu3": "10.0.0.13:9090"}
    found = backends_of_fleet(["gpu1", "gpu2", "gpu3"], seen, [*stale, *written], unseen)
    assert [each["name"] for each in found] == ["gpu1:1", "gpu1:2", "gpu2:1", "gpu2:2", "gpu3"]
    assert found[-1]["reached_at"] == "10.0.0.13:9090"


def test_the_balancer_is_told_of_each() -> None:
    template = (ROOT / "roles" / "backend_balancer" / "templates" / "haproxy.cfg.j2").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"comment": str, "sam2_ids_on_ring": ids_on_ring}
    backends = backends_of_fleet(["gpu1"], backends_of_host("GPU-1,GPU-2", WORKERS, ELSEWHERE), [], {})
    told = environment.from_string(template).render(
        ansible_managed="",
        sam2_backend_port=9090,
        backend_balancer_health_interval=2,
        backend_balancer_tells=False,
        samstudio_tools_backends=backends,
    )
    servers = [line.split()[1:3] for line in told.splitlines() if line.startswith("    server ")]
    assert servers == [["gpu1:1", "10.0.0.11:9090"], ["gpu1:2", "10.0.0.11:9091"]]


ONE = {"date": "2026-11-24", "choices": {"device": "cuda", "gpu": "GPU-2", "model": "large"}}


@pytest.mark.parametrize(
    ("asked", "remembered", "chosen"),
    [
        ("", {}, "GPU-2"),
        ("all", {}, "GPU-1,GPU-2"),
        ("all", ONE, "GPU-2,GPU-1"),
        ("", {"date": "", "choices": {"device": "cuda", "gpu": "GPU-1,GPU-2"}}, "GPU-1,GPU-2"),
        ("", {"date": "", "choices": {"device": "cuda", "gpu": "GPU-9,GPU-1"}}, "GPU-1"),
        ("all", {"date": "", "choices": {"device": "cpu", "gpu": ""}}, ""),
    ],
)
def test_one_gpu_is_chosen_unless_more_are_asked_for_and_that_is_kept(
    asked: str, remembered: dict[str, Any], chosen: str
) -> None:
    assert decide(None, {"gpu": GPU, "gpus_asked": asked, "model": "large"}, remembered)["choices"]["gpu"] == chosen


def rows(**settings: Any) -> dict[str, dict[str, Any]]:
    plan = decide(None, {"gpu": GPU, **settings}, settings.pop("remembered", {}))
    return {row["what"]: row for row in plan["rows"]}


def test_the_table_names_each_backend_and_what_has_none() -> None:
    table = rows(gpus_asked="all")
    assert (table["backend 1"]["found"], table["backend 1"]["use"]) == ("T4, 15360 MiB", "GPU-1")
    assert table["backend 2"]["use"] == "GPU-2"
    assert "other GPUs" not in table
    one = rows(gpus_asked="")
    assert "backend 1" not in one
    assert (one["other GPUs"]["found"], "sam2_backend_gpus=all" in one["other GPUs"]["why"]) == ("T4", True)


def test_a_gpu_that_was_chosen_and_is_gone_is_told() -> None:
    gone = {"date": "2026-11-24", "choices": {"device": "cuda", "gpu": "GPU-1,GPU-7"}}
    assert rows(model="large", remembered=gone)["GPU left out"]["found"] == "GPU-7"


def test_each_further_backend_needs_memory() -> None:
    facts, settings = {"memory_bytes": 8 * 2**30}, {"gpu": GPU}
    assert decide(facts, settings)["problems"] == []
    problems = decide(facts, {**settings, "gpus_asked": "all"})["problems"]
    assert len(problems) == 1
    assert "10.0 GiB are needed" in problems[0]
    assert "sam2_backend_gpus" in problems[0]


def test_the_id_of_a_backend_comes_of_its_name_and_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ids_on_ring(["gpu2", "gpu1:1", "gpu1:2"])
    assert ids_on_ring(["gpu1:2", "gpu2"]).items() <= ids.items()
    assert all(1 <= number <= 2**20 for number in ids.values())
    monkeypatch.setattr(fleet, "MOST_IDS", 4)
    assert sorted(ids_on_ring(["a", "b", "c", "d"]).values()) == [1, 2, 3, 4]
