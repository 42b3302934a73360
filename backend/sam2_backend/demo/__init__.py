"""A very small SAM 2 that knows drawn shapes only, and a few such drawings; made by `backend/demo_training`."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
CONFIG = FOLDER / "sam2.1_demo.yaml"
CHECKPOINT = FOLDER / "sam2.1_demo.pt"
# JPEG files of 512 x 512, upright.
SAMPLES = tuple(FOLDER / f"sample{number}.jpg" for number in range(5))
