"""The backends behind a balancer as `samstudio doctor` and `samstudio backends list` show them, each with its GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from samstudio.cli import app
from samstudio.deployment import load
from samstudio.doctor.link import Known, Result, Status
from samstudio.doctor.links import fleet
from samstudio.doctor.pair import deployed
from typer.testing import CliRunner

from tools.tests import documented, stand_in_haproxy
from tools.tests.doctor.produced import produces
from tools.tests.stand_in_haproxy import HAProxy


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[HAProxy]:
    cards = {"gpu1": "T4 (GPU-1)", "gpu2": "A40 (GPU-2)"}
    with stand_in_haproxy.running(tmp_path) as haproxy:
        backends = [
            {"name": name, "host": "rack", "container": f"sam2-backend-{name[-1]}", "reached_at": "x", "card": card}
            for name, card in cards.items()
        ]
        described = {"balancer": {"socket": str(haproxy.path), "backends": backends}}
        (tmp_path / "deployment.yml").write_text(yaml.safe_dump(described))
        yield haproxy


def test_backends_list_shows_the_gpu_of_each(balanced: HAProxy) -> None:
    words = ["--config-dir", str(balanced.path.parent), "backends", "list"]
    printed = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    documented.check(["backends", "list"], printed)
    assert [each["card"] for each in printed["backends"]] == ["T4 (GPU-1)", "A40 (GPU-2)"]
    assert "A40 (GPU-2)" in CliRunner(env={"COLUMNS": "160"}).invoke(app, words).stdout


def looked_at(haproxy: HAProxy) -> Result:
    return fleet.check_backends(deployed(load(haproxy.path.parent), token="", password=""), Known())


def explained(result: Result) -> str:
    assert result.cause is not None
    assert result.status is Status.WARN
    return " ".join(result.cause.explain(result.facts))


def test_the_doctor_shows_the_gpu_of_each_backend(balanced: HAProxy) -> None:
    result = looked_at(balanced)
    assert (result.status, result.evidence) == (Status.OK, "gpu1 on T4 (GPU-1) UP; gpu2 on A40 (GPU-2) UP")


@produces("backend-out")
def test_a_backend_that_is_down(balanced: HAProxy) -> Result:
    balanced.states["gpu2"] = "DOWN"
    result = looked_at(balanced)
    said = explained(result)
    assert "gpu2 on A40 (GPU-2) gets no clicks" in said
    assert "on rack: docker logs --tail 50 sam2-backend-2" in said
    return result


@produces("backend-drained")
def test_a_backend_that_somebody_drained(balanced: HAProxy) -> Result:
    balanced.states["gpu1"] = "DRAIN"
    result = looked_at(balanced)
    assert "samstudio backends admit gpu1" in explained(result)
    return result


@produces("balancer-silent")
def test_a_balancer_that_does_not_answer(balanced: HAProxy) -> Result:
    path = balanced.path.parent / "deployment.yml"
    path.write_text(yaml.safe_dump({"balancer": {"socket": "/nowhere/admin.sock"}}))
    return looked_at(balanced)


def test_a_single_backend_has_nothing_to_show(tmp_path: Path) -> None:
    result = fleet.check_backends(deployed(load(tmp_path), token="", password=""), Known())
    assert result.status is Status.SKIPPED
