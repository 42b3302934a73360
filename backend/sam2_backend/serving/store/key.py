"""The name of an image embedding: what was encoded, and by what."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """content: sha256 of the image file; engine: 16 hex digits that stand for weights, arithmetic and store format."""

    content: str
    engine: str


def content_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def engine_hash(fingerprint: str) -> str:
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
