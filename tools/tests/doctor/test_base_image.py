"""How old the Debian below the images is: read as engines write it, and told after a month."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound
from samstudio import base_image, containers
from samstudio.deployment import DatabaseSettings, Deployment, TlsSettings
from samstudio.doctor.link import Known, Result, Status
from samstudio.doctor.links.base_image import check_base_image
from samstudio.doctor.pair import Pair
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.watching import collect

from tools.tests.doctor.produced import produces

URL = "http://127.0.0.1:1"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    names = ["label-studio", "sam2-backend", "not-there"]
    own = OwnRecords(tmp_path / "records")
    return Pair(URL, URL, URL, URL, own_records=own, studio_container="label-studio", containers=names)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A double of the engine: its containers by name, each with its image."""
    images: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in images:
            raise NotFound("no such container")
        return SimpleNamespace(image=images[name])

    monkeypatch.setattr(containers, "engine", lambda: SimpleNamespace(containers=SimpleNamespace(get=get)))
    return images


def image(days: float, *, labelled: bool = True) -> Any:
    """What was built today on a base of that age; without the label, nobody knows better than the image itself."""
    now = datetime.now(timezone.utc)
    base, today = ((now - timedelta(days=each)).strftime("%Y-%m-%dT%H:%M:%S") for each in (days, 0))
    labels = {base_image.LABEL: f"{base}Z"} if labelled else None
    return SimpleNamespace(labels=labels, attrs={"Created": f"{today if labelled else base}.123456789Z"})


def test_of_several_the_oldest_counts(pair: Pair, engine: dict[str, Any]) -> None:
    engine |= {"label-studio": image(3, labelled=False), "sam2-backend": image(12)}
    found = base_image.oldest(pair.containers)
    assert found
    assert (found.container, found.age.days, found.old) == ("sam2-backend", 12, False)
    assert check_base_image(pair, Known()).status is Status.OK


def test_nothing_looked_at_is_not_young(pair: Pair, engine: dict[str, Any]) -> None:
    assert check_base_image(pair, Known()).status is Status.SKIPPED
    assert check_base_image(replace(pair, studio_container=""), Known()).status is Status.SKIPPED


@pytest.mark.parametrize("days", [base_image.OLD_DAYS - 0.1, base_image.OLD_DAYS + 0.1])
def test_prometheus_is_told_the_moment_that_doctor_looks_at(
    pair: Pair, engine: dict[str, Any], tmp_path: Path, days: float
) -> None:
    engine |= {"label-studio": image(days), "sam2-backend": image(1)}
    samples, wrong = collect._base_images(Deployment(config_dir=tmp_path))
    built = {each.labels["container"]: each.value for each in samples if each.name == collect.BUILT}
    assert {name: (time.time() - value) / 86400 for name, value in built.items()} == {
        "label-studio": pytest.approx(days, abs=0.01),
        "sam2-backend": pytest.approx(1, abs=0.01),
    }
    old = check_base_image(pair, Known()).status is Status.WARN
    assert (old, [each.partition(":")[0] for each in wrong]) == (
        days > base_image.OLD_DAYS,
        ["container label-studio"] * old,
    )


def test_a_container_that_is_not_there_is_told_as_the_worst(engine: dict[str, Any], tmp_path: Path) -> None:
    tls = TlsSettings(domain="label.example.com")
    found = Deployment(config_dir=tmp_path, database=DatabaseSettings(kind="postgresql"), tls=tls)
    engine |= {"label-studio": image(1), "sam2-backend": image(1), "label-studio-database": image(1)}
    samples, wrong = collect._base_images(found)
    assert [each.labels["container"] for each in samples if not each.value] == ["label-studio-tls"]
    assert wrong == ["container label-studio-tls: there is none"]


@produces("base-image-old")
def test_after_a_month_it_is_told(pair: Pair, engine: dict[str, Any]) -> Result:
    engine |= {"label-studio": image(31.5), "sam2-backend": image(1)}
    result = check_base_image(pair, Known())
    assert result.status is Status.WARN
    assert result.cause
    assert "label-studio is built on is 31 days old" in result.cause.explain(result.facts)[0]
    return result


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-28T16:34:25Z", "2026-11-28T16:34:25+00:00"),
        ("2026-11-28T16:34:25.123456789Z", "2026-11-28T16:34:25+00:00"),
        ("2026-11-28T18:34:25.5+02:00", "2026-11-28T16:34:25+00:00"),
    ],
)
def test_moments_are_read_as_engines_write_them(written: str, expected: str) -> None:
    assert base_image.moment(written).isoformat() == expected
