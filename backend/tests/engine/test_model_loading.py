"""From the settings to an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from sam2_backend.engine import fingerprints, select
from sam2_backend.model import loading
from sam2_backend.settings import from_environment


def test_a_checkpoint_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes seconds."""
    hashed: list[Path] = []

    def noted(path: Path) -> str:
        hashed.append(path)
        return fingerprints.file_sha256(path)

    monkeypatch.setattr(loading, "file_sha256", noted)
    monkeypatch.setattr(select, "file_sha256", noted)
    settings = from_environment({"CACHE_DIR": str(tmp_path), "DEVICE": "cpu", "MODEL_CHECKPOINT": "demo"})
    model = loading.load(settings)
    assert hashed.count(model.files.checkpoint) == 1
    assert model.sha256 == fingerprints.file_sha256(model.files.checkpoint)
