"""One image embedding as a file: magic, header length, JSON header, the three float16 maps.

The header carries the key, the image's size, the maps' shapes and a CRC-32 of the maps, so that a file that was cut
off, damaged, renamed or written by another engine is recognised.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import HostEmbedding
from sam2_backend.serving.store.key import Key

MAGIC = b"SAM2EMB1"
MAPS = ("high_res_0", "high_res_1", "image")
ALIGNMENT = 64
_PREFIX = struct.Struct("<8sI")


class UnusableError(ValueError):
    """The file is damaged, foreign, or belongs to another key."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """width, height: the upright image's, in pixels."""

    embedding: HostEmbedding
    width: int
    height: int


def to_bytes(key: Key, stored: StoredImage) -> bytes:
    maps = [np.ascontiguousarray(getattr(stored.embedding, name), np.float16) for name in MAPS]
    body = b"".join(array.tobytes() for array in maps)
    header = json.dumps(
        {
            "content": key.content,
            "engine": key.engine,
            "width": stored.width,
            "height": stored.height,
            "shapes": [array.shape for array in maps],
            "crc32": zlib.crc32(body),
        }
    ).encode()
    header += b" " * (-(_PREFIX.size + len(header)) % ALIGNMENT)
    return _PREFIX.pack(MAGIC, len(header)) + header + body


def from_bytes(key: Key, data: bytes) -> StoredImage:
    """Raises UnusableError."""
    try:
        magic, length = _PREFIX.unpack_from(data)
        if magic != MAGIC:
            raise UnusableError("not an image embedding")
        start = _PREFIX.size + length
        header = json.loads(data[_PREFIX.size : start])
        if (header["content"], header["engine"]) != (key.content, key.engine):
            raise UnusableError("belongs to another image or engine")
        shapes = [tuple(int(side) for side in shape) for shape in header["shapes"]]
        if len(shapes) != len(MAPS) or 2 * sum(math.prod(shape) for shape in shapes) != len(data) - start:
            raise UnusableError("cut off")
        if zlib.crc32(memoryview(data)[start:]) != header["crc32"]:
            raise UnusableError("checksum differs")
        maps: list[NDArray[np.float16]] = []
        for shape in shapes:
            maps.append(np.frombuffer(data, np.float16, math.prod(shape), start).reshape(shape))
            start += 2 * math.prod(shape)
        return StoredImage(HostEmbedding(*maps), int(header["width"]), int(header["height"]))
    except UnusableError:
        raise
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise UnusableError(f"unreadable ({type(error).__name__})") from None
