"""Every branch that preflight can choose was taken by some scenario. Read from what each deployed host wrote down."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from samstudio.preflight import engine

RECORDED = Path(__file__).parents[3] / ".cache" / "roads"
EXISTING = "existing"
ROADS = [
    *(("docker_engine_source", value) for value in (*engine.SOURCES, EXISTING)),
    ("base_image", "registry"),
    ("base_image", "mirror"),
    # PyTorch's own index for the CPU, and the host's pip configuration
    ("torch_index_url", "https://download.pytorch.org/whl/cpu"),
    ("torch_index_url", ""),
    ("device", "cpu"),
    ("model", "demo"),
]


@pytest.fixture(scope="module")
def taken() -> dict[tuple[str, str], list[str]]:
    """The hosts that took each road, printed for the log."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(RECORDED.glob("*.json")):
        choices = {"docker_engine_source": EXISTING, **json.loads(path.read_text())}
        for road in choices.items():
            found.setdefault(road, []).append(path.stem)
    assert found, f"no scenario wrote down its roads in {RECORDED}"
    for (what, way), hosts in sorted(found.items()):
        sys.stdout.write(f"{what} = {way or 'none named'}: {', '.join(hosts)}\n")
    return found


@pytest.mark.parametrize("road", ROADS, ids=lambda road: "=".join(road))
def test_a_road_was_taken(road: tuple[str, str], taken: dict[tuple[str, str], list[str]]) -> None:
    assert road in taken, f"only these were: {taken}"


def test_no_road_was_taken_that_is_unknown_here(taken: dict[tuple[str, str], list[str]]) -> None:
    asked_about = {key for key, _ in ROADS}
    assert {road for road in taken if road[0] in asked_about} - set(ROADS) == set()
