"""Runs a command in this process, as a role would, with --json; what it prints is always what is documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from samstudio.cli import app
from typer.testing import CliRunner

from tools.tests import documented


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
