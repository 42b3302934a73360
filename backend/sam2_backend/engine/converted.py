"""The converted model on disk: made once in a process of its own, verified at every start, redone if damaged.

A folder per model under `CACHE/openvino/KEY`, where KEY covers the weights, the config, the OpenVINO version,
`ARITHMETIC` and int8. It appears by a rename, so it is whole or not there. Compiled blobs are not kept: they save
little of a start for as much disk again, and nothing can verify them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sam2_backend.engine import errors
from sam2_backend.engine.errors import EngineError
from sam2_backend.engine.fingerprints import file_sha256

ARITHMETIC = 2  # raise it when what `ir.py` writes changes
MANIFEST = "manifest.json"

_interrupted = threading.Event()

log = logging.getLogger(__name__)


def ensure(config: Path, checkpoint: Path, weights: str, cache: Path, *, int8: bool = False) -> Path:
    """The folder of the converted model, converting it first if needed. weights: the checkpoint's sha256.

    int8: its encoder is quantized (`quantize.py`).

    Raises what `build.build_model` and `quantize` raise, and EngineError if the conversion dies or the disk is full.
    """
    parts = [str(ARITHMETIC), metadata.version("openvino"), weights, file_sha256(config), *(["int8"] if int8 else [])]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    folder = cache / "openvino" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            if _is_whole(folder):
                return folder
            if folder.exists():
                log.warning("the converted model in %s is damaged; converting again", folder)
                shutil.rmtree(folder)
            _convert_into(folder, config, checkpoint, int8)
    except OSError as error:
        raise EngineError(
            f"cannot keep the converted model in {cache}: {error.strerror}; set another CACHE_DIR"
        ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        expected = json.loads((folder / MANIFEST).read_text())
        return bool(expected) and all(file_sha256(folder / name) == digest for name, digest in expected.items())
    except (OSError, ValueError, AttributeError):
        return False


def _convert_into(folder: Path, config: Path, checkpoint: Path, int8: bool) -> None:
    for remains in folder.parent.glob(f".{folder.name}.*"):  # of a conversion that was killed
        shutil.rmtree(remains)
    log.info("converting %s for OpenVINO (once; half a minute for tiny, minutes for large)", checkpoint.name)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary) / "model"
        made.mkdir()
        _run_conversion(config, checkpoint, made, int8)
        manifest = {path.name: file_sha256(path) for path in sorted(made.iterdir())}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
        made.rename(folder)


def _run_conversion(config: Path, checkpoint: Path, folder: Path, int8: bool) -> None:
    """In another process: PyTorch and its memory never enter the one that serves."""
    command = [sys.executable, "-m", "sam2_backend.engine.convert", str(config), str(checkpoint), str(folder)]
    command += ["int8"] if int8 else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        output, complaints = _outputs(process)
    if process.returncode == 0:
        return
    if _interrupted.is_set():
        raise EngineError("the conversion was interrupted: the backend is stopping")
    with contextlib.suppress(ValueError, IndexError, KeyError, AttributeError):
        told = json.loads(output.splitlines()[-1])
        raise getattr(errors, told["error"])(told["message"])
    if process.returncode < 0:
        raise EngineError(
            f"the conversion was killed by signal {-process.returncode}, most likely for memory:"
            " it needs about 1 GB for tiny and 2.5 GB for large, with int8 1.6 and 6.2 GB"
        )
    raise EngineError(f"the conversion failed: {complaints.strip()[-600:]}")


def _outputs(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it wrote until it ended; `interrupt` ends it."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.2)
        if _interrupted.is_set():
            process.kill()


def interrupt() -> None:
    """End a running conversion, and begin no other: this process is stopping."""
    _interrupted.set()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One conversion at a time, whatever number of processes start together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
