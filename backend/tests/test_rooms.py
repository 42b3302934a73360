"""Data flows from the HTTP face to the engine; no room imports one that stands above it."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import sam2_backend
import tomllib

ROOT = Path(sam2_backend.__file__).parent
ORDER = ("http", "backend", "history", "label_studio", "serving", "model", "images", "engine", "native")
# NVIDIA's bindings come with torch for CUDA; `mlbackend.py` is for those who have label-studio-ml.
WITH_ANOTHER = {"cuda", "label-studio-ml"}
# What any room may use.
SHARED = ("settings", "problems", "jobs", "logs", "metrics", "steps", "versions", "demo", "__init__")


def room(module: str) -> str:
    """The room of `sam2_backend.ROOM.…`."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "sam2_backend":
            found |= {f"sam2_backend.{name.name}" for name in node.names if not name.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sam2_backend."):
            found.add(node.module)
    return found


def test_no_room_imports_one_above_it() -> None:
    wrong, looked_at = [], set()
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own not in ORDER:
            continue
        looked_at.add(own)
        for module in imports(path):
            other = room(module)
            if other not in SHARED and ORDER.index(other) < ORDER.index(own):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert looked_at == set(ORDER)
    assert wrong == []


def test_every_file_of_the_package_is_installed() -> None:
    described = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    patterns = described["tool"]["setuptools"]["package-data"]["sam2_backend"]
    files = [path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc", ".so")]
    assert files
    assert [
        str(path) for path in files if not any(path.match(pattern.removeprefix("**/")) for pattern in patterns)
    ] == []


def test_no_constructor_takes_many_collaborators() -> None:
    taken = {
        f"{path.relative_to(ROOT)}:{node.lineno}": len(node.args.args) - 1 + len(node.args.kwonlyargs)
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    }
    assert {where: count for where, count in taken.items() if count > 7} == {}


def test_what_is_imported_is_required() -> None:
    """By what the distribution itself names: its requirements, and torch and sam2, which the Dockerfile installs."""
    lines = (ROOT.parent / "requirements.in").read_text().splitlines()
    required = {re.split(r"[<=>\s]", line)[0] for line in lines if line and not line.startswith("#")}
    modules = {module for path in ROOT.rglob("*.py") for module in _third_party(path)}
    named = metadata.packages_distributions()
    distributions = {module: {_normal(name) for name in named.get(module, [module])} for module in modules}
    assert {
        module: found
        for module, found in distributions.items()
        if not found & (required | {"torch", "sam2"} | WITH_ANOTHER)
    } == {}


def _third_party(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"sam2_backend"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_oldest_python_that_is_named_can_start_it() -> None:
    """What no older one has: `asyncio.timeout`, `hashlib.file_digest`, `datetime.UTC`, all of 3.11."""
    described = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert described["project"]["requires-python"] == ">=3.11"
    assert described["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.in"]}
