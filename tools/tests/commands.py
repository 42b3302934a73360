"""Runs a command: in this process with --json, which is always what is documented; or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from samstudio.cli import app
from typer.testing import CliRunner

from tools.tests import documented

TOOLS = Path(__file__).parents[1]
Ran = subprocess.CompletedProcess[str]


def invoke(folder: Path, *argv: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the one JSON object on stdout."""
    result = CliRunner().invoke(app, ["--config-dir", str(folder), *argv, "--json"], catch_exceptions=False)
    printed = json.loads(result.stdout)
    documented.check(argv, printed)
    return result.exit_code, printed


def run(folder: Path, *argv: str) -> dict[str, Any]:
    """The JSON of a command that must succeed."""
    status, answer = invoke(folder, *argv)
    assert status == 0, answer
    return answer


def fails(folder: Path, *argv: str) -> dict[str, str]:
    """The error of a command that must fail."""
    status, answer = invoke(folder, *argv)
    assert status == 1, answer
    error: dict[str, str] = answer["error"]
    return error


def typed(*words: str, **environment: str) -> Ran:
    """Run the command as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAMSTUDIO_", "LABEL_STUDIO_"))}
    return subprocess.run(
        [sys.executable, "-m", "samstudio", *words],
        env={**kept, "PYTHONPATH": str(TOOLS), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
