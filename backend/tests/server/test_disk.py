"""The disk tier while its disk is slow."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sam2_backend.engine.interface import HostEmbedding
from sam2_backend.serving.store.disk import DiskTier
from sam2_backend.serving.store.file_format import StoredImage, to_bytes
from sam2_backend.serving.store.key import Key


@pytest.mark.parametrize("unusable", [False, True])
def test_nobody_waits_for_files_that_are_removed(
    unusable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop asks whether an embedding is there; removing many of them may take a slow disk a while.

    unusable: the old one is dropped; else the new one is written, and there is no room for both.
    """
    small = np.zeros((2, 2), np.float16)
    stored = StoredImage(HostEmbedding(small, small, small), 8, 8)
    old, new = Key("a" * 64, "e" * 16), Key("b" * 64, "e" * 16)
    tier = DiskTier(tmp_path, len(to_bytes(old, stored)))
    tier.open()
    tier.write(old, stored)
    begun, may_end = threading.Event(), threading.Event()
    unlink = Path.unlink

    def slow(path: Path, missing_ok: bool = False) -> None:
        begun.set()
        assert may_end.wait(30)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", slow)
    with ThreadPoolExecutor(2) as pool:
        removing = pool.submit(tier.drop, old) if unusable else pool.submit(tier.write, new, stored)
        assert begun.wait(30)
        try:
            assert pool.submit(tier.has, new).result(10) != unusable
            assert not tier.has(old)
        finally:
            may_end.set()
        removing.result(30)
