"""The real backend's last words, by which the doctor must know why it does not start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from samstudio.causes import recognise
from samstudio.doctor.links.backend import SAID_BY_FAILED_BACKEND

from tools.tests import backend, servers

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"DEVICE": "cuda"}, "cuda-missing"),
        ({"MODEL_CHECKPOINT": "absent.pt", "MODEL_CONFIG": "configs/sam2.1/sam2.1_hiera_t.yaml"}, "checkpoint-missing"),
    ],
)
def test_why_the_real_backend_does_not_start(settings: dict[str, str], cause: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(backend.PROJECT / "backend"),
        "HOME": str(tmp_path),
        "MODEL_DIR": str(tmp_path),
        "CACHE_DIR": str(tmp_path / "cache"),
        "PORT": str(servers.free_port()),
        "DEVICE": "cpu",
        **settings,
    }
    ran = subprocess.run(
        [backend.python(), "-m", "sam2_backend"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode != 0
    found = recognise(ran.stdout + ran.stderr, SAID_BY_FAILED_BACKEND)
    assert found is not None, ran.stderr
    assert found.id == cause
