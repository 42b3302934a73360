"""`python -m sam2_backend.engine.convert CONFIG CHECKPOINT FOLDER [int8]`: the one-off part of an OpenVINO start.

Exits 1 with {"error": class name, "message": text} on stdout when the model cannot be used.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from sam2_backend.engine.errors import EngineError


def main(config: Path, checkpoint: Path, folder: Path, *, int8: bool) -> int:
    warnings.filterwarnings("ignore")  # tracing warns of every Python number it turns into a constant
    try:
        from sam2_backend.engine.build import build_model
        from sam2_backend.engine.ir import convert
        from sam2_backend.engine.reference import ReferenceEngine
        from sam2_backend.engine.selfcheck import compute_golden

        model = build_model(config, checkpoint)
        compute_golden(ReferenceEngine(model)).save(folder / "golden.npz")
        convert(model, folder)
        if int8:
            from sam2_backend.engine.quantize import quantize_file

            del model
            quantize_file(folder / "encoder.xml")
    except EngineError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "message": str(error)}) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4]), int8=sys.argv[4:] == ["int8"]))
