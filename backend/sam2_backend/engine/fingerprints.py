"""What identifies weights on disk, and embeddings made with them."""

from __future__ import annotations

import hashlib
from pathlib import Path

STORE_FORMAT = 1  # raise it when stored embeddings change meaning


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(weights: str, config: Path, precision: str) -> str:
    """Of embeddings: the same for engines whose embeddings may stand for one another. weights: a sha256."""
    return f"{weights[:16]}-{file_sha256(config)[:8]}-{precision}-{STORE_FORMAT}"
