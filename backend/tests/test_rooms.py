"""Data flows from the HTTP face to the engine; no room imports one that stands above it."""

from __future__ import annotations

import ast
from pathlib import Path

import sam2_backend
import tomllib

ROOT = Path(sam2_backend.__file__).parent
ORDER = ("http", "backend", "label_studio", "serving", "model", "images", "engine", "native")
# What any room may use.
SHARED = ("settings", "problems", "logs", "metrics", "steps", "versions", "demo", "__init__")


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
