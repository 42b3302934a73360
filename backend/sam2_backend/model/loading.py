"""Which model is served: the settings' config and checkpoint, made into an engine."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sam2_backend.engine.fingerprints import file_sha256
from sam2_backend.engine.interface import Engine
from sam2_backend.model.checkpoints import ModelFiles, resolve_model
from sam2_backend.settings import Settings

log = logging.getLogger(__name__)


class ModelRefused(Exception):
    """The model that was asked for cannot be served; the text says what was found, expected, and what to do."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """sha256: of the checkpoint file. overlaps: the engine can decode in one thread while another one encodes.

    asked: PRECISION. refused: why a faster precision than the one that is served is not, "" if it is the fastest.
    """

    engine: Engine
    files: ModelFiles
    sha256: str
    overlaps: bool
    asked: str
    refused: str = ""

    def describe(self) -> dict[str, object]:
        return {
            "config": Path(self.files.config).name if Path(self.files.config).is_absolute() else self.files.config,
            "checkpoint": self.files.checkpoint.name,
            "sha256": self.sha256,
            "demo": self.files.demo,
        }

    def describe_engine(self) -> dict[str, object]:
        info = self.engine.info
        return {
            "name": info.name,
            "device": info.device,
            "precision": info.precision,
            "asked": self.asked,
            "refused": self.refused,
            "image_size": info.image_size,
        }

    def device_memory(self) -> int:
        """Bytes that PyTorch holds on the model's GPU; 0 on the CPU."""
        device, _, _ = self.engine.info.device.partition(" ")
        if not device.startswith("cuda"):
            return 0
        import torch

        return int(torch.cuda.memory_reserved(device))


def model_files(settings: Settings) -> ModelFiles:
    """Without loading anything. Raises ModelRefused for a checkpoint that is not there or a config left to guess."""
    named = "" if settings.model_config == "auto" else settings.model_config
    own = settings.model_dir / named
    try:
        files = resolve_model(
            str(own) if named and own.is_file() else named, settings.model_checkpoint, settings.model_dir
        )
    except ValueError as error:
        raise ModelRefused(str(error)) from error
    if not files.checkpoint.is_file():
        raise ModelRefused(
            f"MODEL_CHECKPOINT={settings.model_checkpoint}: there is no file {files.checkpoint}; put the checkpoint "
            "there, or set MODEL_CHECKPOINT=demo for the small model that knows drawn shapes only."
        )
    return files


def load(settings: Settings) -> LoadedModel:
    """Takes seconds, at the first start a minute. Raises ModelRefused for what the admin has to change."""
    from sam2_backend.engine.errors import EngineError
    from sam2_backend.engine.select import load_engine

    files = model_files(settings)
    if files.demo:
        log.warning(
            "Serving the DEMO model: it knows drawn shapes only. Set MODEL_CHECKPOINT to an official SAM 2.1 one."
        )
    sha256 = file_sha256(files.checkpoint)
    try:
        engine = load_engine(
            files.config,
            files.checkpoint,
            device=settings.device,
            precision=settings.precision,
            threads=min(settings.threads, os.cpu_count() or 1),
            cache_dir=_writable(settings.cache_dir),
            weights=sha256,
        )
    except EngineError as error:
        raise ModelRefused(str(error)) from error
    return LoadedModel(
        engine,
        files,
        sha256=sha256,
        overlaps=bool(getattr(engine, "overlaps", False)),
        asked=settings.precision,
        refused=str(getattr(engine, "refused", "")),
    )


def _writable(folder: Path) -> Path:
    """The cache folder, or, on a container without one, a temporary folder that the next start will not find."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning("CACHE_DIR=%s cannot be written (%s): nothing is kept over a restart", folder, error.strerror)
        return Path(tempfile.mkdtemp(prefix="sam2-backend-"))
