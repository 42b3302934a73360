"""The lock files fit every Python that a control machine or a host may have, and requirements.yml fits them."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

PROJECT = Path(__file__).parents[2]
CONTROL = ("3.11.0", "3.12.3", "3.13.5", "3.14.0")
HOSTS = ("3.10.12", *CONTROL)


def locked(name: str, python: str) -> dict[str, Version]:
    """What pip installs from a lock on Linux with this Python."""
    text = (PROJECT / "tools" / "requirements" / f"{name}.lock").read_text().replace("\\\n", " ")
    environment = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    lines = [line.split(" --hash")[0] for line in text.splitlines() if re.match(r"[a-z]", line)]
    wanted = [item for item in map(Requirement, lines) if item.marker is None or item.marker.evaluate(environment)]
    twice = [item for item, count in Counter(item.name for item in wanted).items() if count > 1]
    assert not twice, f"{name}.lock names {twice} more than once for Python {python}"
    return {item.name: Version(next(iter(item.specifier)).version) for item in wanted}


@pytest.mark.parametrize("python", CONTROL)
@pytest.mark.parametrize("name", ["control", "test"])
def test_every_control_machine_gets_an_ansible_that_knows_its_python(name: str, python: str) -> None:
    core = locked(name, python)["ansible-core"]
    assert core.release[:2] >= (2, 19)
    if Version(python) >= Version("3.12"):
        assert core.release[:2] >= (2, 20), "2.19 knows Python 3.11 to 3.13 and is near its end"
    else:
        assert core.release[:2] <= (2, 19), "2.20 wants Python 3.12"


@pytest.mark.parametrize("python", HOSTS)
def test_every_host_gets_a_numpy_with_a_wheel(python: str) -> None:
    numpy = locked("tools", python)["numpy"]
    if Version(python) >= Version("3.14"):
        assert numpy >= Version("2.3.2"), "the first with wheels for Python 3.14"
    if Version(python) < Version("3.11"):
        assert numpy < Version("2.3"), "the last for Python 3.10"


@pytest.mark.parametrize("python", HOSTS)
def test_a_python_before_311_gets_what_asyncio_needs_there(python: str) -> None:
    assert ("exceptiongroup" in locked("tools", python)) == (Version(python) < Version("3.11"))


def test_the_installed_ansible_has_the_collections_that_are_named() -> None:
    named = yaml.safe_load((PROJECT / "requirements.yml").read_text())["collections"]
    assert len(named) == 2
    for wanted in named:
        found = importlib.util.find_spec(f"ansible_collections.{wanted['name']}")
        assert found is not None
        assert found.submodule_search_locations is not None
        manifest = json.loads((Path(found.submodule_search_locations[0]) / "MANIFEST.json").read_text())
        assert SpecifierSet(wanted["version"]).contains(manifest["collection_info"]["version"])
