"""SIGTERM while the model is converted: the process ends at once, and no half of a model stays behind."""

from __future__ import annotations

import time
from pathlib import Path

from running import START_SECONDS, Running


def test_a_conversion_does_not_hold_up_the_end(tmp_path: Path) -> None:
    server = Running(["sam2_backend"], {"CACHE_DIR": str(tmp_path), "DEVICE": "cpu", "MODEL_CHECKPOINT": "demo"})
    deadline = time.monotonic() + START_SECONDS
    while "converting" not in server.log():
        assert time.monotonic() < deadline, server.log()
        assert server.process.poll() is None, server.log()
        time.sleep(0.05)
    assert server.stop() == 0
    left = [path for path in (tmp_path / "openvino").iterdir() if path.suffix != ".lock"]
    assert left == []
    assert "stopped" in server.log()
