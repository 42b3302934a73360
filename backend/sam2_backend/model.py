"""Which model is served: the settings' config and checkpoint, made into an engine."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from .config import Settings
from .engine.base import Engine

DEMO = "demo"
DEMO_FILES = ("sam2.1_demo.yaml", "sam2.1_demo.pt")
OFFICIAL = re.compile(r"(?P<generation>sam2(?:\.1)?)_hiera_(?P<size>tiny|small|base_plus|large)\.pt")
SIZE_NAMES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}

log = logging.getLogger(__name__)


class ModelRefused(Exception):
    """The model that was asked for cannot be served; the text says what was found, expected, and what to do."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """config: a file, or a name inside the sam2 package. demo: the packaged demo model."""

    config: str
    checkpoint: Path
    demo: bool


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """sha256: of the checkpoint file. overlaps: the engine can decode in one thread while another one encodes."""

    engine: Engine
    files: ModelFiles
    sha256: str
    overlaps: bool

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
            "image_size": info.image_size,
        }

    def device_memory(self) -> int:
        """Bytes that PyTorch holds on a GPU; 0 on the CPU."""
        if not self.engine.info.device.startswith("cuda"):
            return 0
        import torch

        return int(torch.cuda.memory_reserved())


def find(settings: Settings) -> ModelFiles:
    """Without loading anything. Raises ModelRefused for a checkpoint that is not there or a config left to guess."""
    if settings.model_checkpoint == DEMO:
        folder = Path(str(resources.files("sam2_backend.demo")))
        config, checkpoint = (folder / name for name in DEMO_FILES)
        return ModelFiles(str(config), checkpoint, demo=True)
    checkpoint = settings.model_dir / settings.model_checkpoint
    if not checkpoint.is_file():
        raise ModelRefused(
            f"MODEL_CHECKPOINT={settings.model_checkpoint}: there is no file {checkpoint}; put the checkpoint there, "
            "or set MODEL_CHECKPOINT=demo for the small model that knows drawn shapes only."
        )
    return ModelFiles(_config(settings, checkpoint), checkpoint, demo=False)


def load(settings: Settings) -> LoadedModel:
    """Takes seconds, at the first start a minute. Raises ModelRefused for what the admin has to change."""
    from .engine.errors import EngineError
    from .engine.select import load_engine

    files = find(settings)
    if files.demo:
        log.warning(
            "Serving the DEMO model: it knows drawn shapes only. Set MODEL_CHECKPOINT to an official SAM 2.1 one."
        )
    try:
        engine = load_engine(
            files.config,
            files.checkpoint,
            device=settings.device,
            precision=settings.precision,
            threads=min(settings.threads, os.cpu_count() or 1),
            cache_dir=_writable(settings.cache_dir),
        )
    except EngineError as error:
        raise ModelRefused(str(error)) from error
    return LoadedModel(engine, files, file_hash(files.checkpoint), bool(getattr(engine, "overlaps", False)))


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _config(settings: Settings, checkpoint: Path) -> str:
    if settings.model_config != "auto":
        own = settings.model_dir / settings.model_config
        return str(own) if own.is_file() else settings.model_config
    official = OFFICIAL.fullmatch(checkpoint.name)
    if not official:
        raise ModelRefused(
            f"MODEL_CONFIG is not set, and {checkpoint.name} is no official checkpoint's name that would tell it: set "
            "e.g. MODEL_CONFIG=configs/sam2.1/sam2.1_hiera_t.yaml."
        )
    generation = official["generation"]
    return f"configs/{generation}/{generation}_hiera_{SIZE_NAMES[official['size']]}.yaml"


def _writable(folder: Path) -> Path:
    """The cache folder, or, on a container without one, a temporary folder that the next start will not find."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning("CACHE_DIR=%s cannot be written (%s): nothing is kept over a restart", folder, error.strerror)
        return Path(tempfile.mkdtemp(prefix="sam2-backend-"))
