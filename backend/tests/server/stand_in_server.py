"""The real server process with the stand-in engine: `python stand_in_server.py [encode seconds] [failure]`.

DECODE_SECONDS is how long a mask takes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import sam2_backend.backend
from sam2_backend import __main__ as entry
from sam2_backend.model.checkpoints import ModelFiles
from sam2_backend.model.loading import LoadedModel
from sam2_backend.settings import Settings
from stand_in_engine import DiscEngine

ENCODE_SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
DECODE_SECONDS = float(os.environ.get("DECODE_SECONDS", "0"))
LOAD = sys.argv[2] if len(sys.argv) > 2 else "now"


def load(_: Settings) -> LoadedModel:
    if LOAD == "fails":
        raise RuntimeError("the stand-in was told to fail")
    if LOAD == "slowly":
        time.sleep(3)
    files = ModelFiles("disc.yaml", Path("disc.pt"), official=None)
    refused = "OpenVINO in bf16 is refused: the stand-in was told so" if LOAD == "slower" else ""
    return LoadedModel(
        DiscEngine(ENCODE_SECONDS, DECODE_SECONDS), files, "0" * 64, overlaps=True, asked="auto", refused=refused
    )


sam2_backend.backend.load = load
entry.model_files = lambda _: None
sys.exit(entry.main())
