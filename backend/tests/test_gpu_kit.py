"""The folder for GPU machines is complete and runs: packed for this Python, every step, on the CPU."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = ("machine", "masks", "engine", "batches", "clicks", "prewarm", "throughput", "annotators", "failures")


@pytest.mark.slow
def test_every_step_on_the_cpu(tmp_path: Path) -> None:
    kit, out = tmp_path / "kit", tmp_path / "out"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = ["--python", version, "--machine", platform.machine(), "--to", str(kit)]
    subprocess.run([sys.executable, str(ROOT / "benchmarks/gpu/pack"), *wanted], check=True, timeout=600)
    assert sum(path.stat().st_size for path in kit.rglob("*") if path.is_file()) <= 60 << 20
    command = [
        sys.executable,
        str(kit / "run"),
        "all",
        "--device",
        "cpu",
        "--sizes",
        "demo",
        "--quick",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in STEPS:
        assert json.loads((out / f"{step}.json").read_text()), step
    assert {row["self-check"] for row in json.loads((out / "masks.json").read_text())} == {"passed"}
    assert (kit / "site" / "sam2").is_dir()
