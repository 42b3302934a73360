"""The tools as a package: what a wheel brings, and what it needs."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.version import Version

from tools.tests.test_requirements import CONTROL, HOSTS, locked

TOOLS = Path(__file__).parents[1]


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((TOOLS / "pyproject.toml").read_text())["project"]
    return found


def ranges(extra: str = "") -> dict[str, Requirement]:
    described = project()
    lines = described["optional-dependencies"][extra] if extra else described["dependencies"]  # type: ignore[index]
    return {each.name: each for each in map(Requirement, lines)}  # type: ignore[arg-type]


def imported() -> set[str]:
    """The top-level modules that the package's code imports, wherever in a file."""
    names: set[str] = set()
    for file in (TOOLS / "samstudio").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"samstudio"}


def test_what_is_imported_is_declared_and_nothing_else() -> None:
    distributions = importlib.metadata.packages_distributions()
    needed = {distributions[name][0].lower() for name in imported()}
    assert needed - {"ansible-core"} == set(ranges())
    assert needed & set(ranges("deploy")) == {"ansible-core"}


@pytest.mark.parametrize("python", HOSTS)
def test_the_locked_versions_are_within_the_declared_ranges(python: str) -> None:
    versions = locked("tools", python)
    for name, requirement in ranges().items():
        assert requirement.specifier, f"{name} has no range"
        assert versions[name] in requirement.specifier, name


@pytest.mark.parametrize("python", CONTROL)
def test_the_locked_ansible_is_within_the_range_of_the_extra(python: str) -> None:
    versions = locked("control", python)
    for name, requirement in ranges("deploy").items():
        assert versions[name] in requirement.specifier, name


@pytest.mark.integration
def test_a_wheel_brings_the_command_and_no_tests(tmp_path: Path) -> None:
    """Built as pip builds it, in an environment of its own; what it depends on is the tests' own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, TOOLS], check=True, env=environment, timeout=600
    )
    (wheel,) = tmp_path.glob("samstudio-*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (described,) = [name for name in names if name.endswith("/METADATA")]
        metadata = Parser().parsestr(file.read(described).decode())
    carried = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    sources = {
        path.relative_to(TOOLS).as_posix()
        for path in (TOOLS / "samstudio").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert carried == sources
    assert not [name for name in names if "test" in name]
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]
    assert {each.name for each in requirements if not each.marker} == set(ranges())
    assert {each.name for each in requirements if each.marker} == set(ranges("deploy"))
    assert all(each.specifier for each in requirements)

    installed = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", installed, wheel], check=True, env=environment, timeout=300
    )
    command = [sys.executable, str(installed / "bin" / "samstudio")]
    alone = {**environment, "PYTHONPATH": str(installed)}

    def printed(*words: str) -> str:
        ran = subprocess.run([*command, *words], env=alone, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert Version(printed("--version").strip()) == Version(metadata["Version"])
    assert "register" in printed("--help")
    assert "ML_BLOCK_LOCAL_IP=true" in printed("ssrf", "settings", "--address", "192.0.2.20")
