"""Prometheus's own judge of metrics, rules, configurations and expressions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """What it says; a `promtool` that is not there is an error."""
    memory = Path("/dev/shm")  # where it keeps the figures of a test of rules
    environment = {**os.environ, "TMPDIR": str(memory)} if memory.is_dir() else None
    argv = ["promtool", *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=120, env=environment)
