"""The rooms of the tools' package, its folders and files one level down, use each other in one direction."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "samstudio"


def modules(file: Path) -> set[str]:
    """The dotted names below `samstudio` that a file imports, wherever in it; `from samstudio import x` means x."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.partition(".")[2] for name in found if name.startswith("samstudio.")}


def rooms(package: Path) -> dict[str, set[str]]:
    """Which other rooms each one uses."""
    files = {path.stem if path.is_file() else path.name: path for path in package.iterdir() if path.name[0] not in "._"}
    inside = {name: [path] if path.is_file() else sorted(path.rglob("*.py")) for name, path in files.items()}
    return {
        name: {used.partition(".")[0] for path in paths for used in modules(path)} & set(inside) - {name}
        for name, paths in inside.items()
    }


def test_no_room_uses_one_that_uses_it() -> None:
    used = rooms(PACKAGE)
    assert {"doctor", "tunnel", "registration"} <= used["commands"]
    graphlib.TopologicalSorter(used).prepare()


def test_a_circle_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tunnel").mkdir()
    (tmp_path / "tunnel" / "state.py").write_text("def close():\n    from samstudio.doctor import walk\n")
    (tmp_path / "doctor.py").write_text("from samstudio.tunnel.state import close\n")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(rooms(tmp_path)).prepare()
