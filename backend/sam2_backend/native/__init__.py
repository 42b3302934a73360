"""The two loops that numpy has no fast word for, in C: brush RLE (`rle.c`) and SAM 2's image resize (`resize.c`)."""

from __future__ import annotations

import ctypes
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_FOLDER = Path(__file__).parent
_BUFFER = ctypes.c_void_p
_SIZE = ctypes.POINTER(ctypes.c_int64)

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "sam2_free": (None, [_BUFFER]),
    "sam2_mask_to_rle": (_BUFFER, [_BUFFER, ctypes.c_int64, _SIZE]),
    "sam2_logits_to_rle": (_BUFFER, [_BUFFER, *[ctypes.c_int] * 4, _SIZE]),
    "sam2_logits_to_mask": (ctypes.c_int, [_BUFFER, *[ctypes.c_int] * 4, _BUFFER]),
    "sam2_rle_to_json": (ctypes.c_int64, [_BUFFER, ctypes.c_int64, _BUFFER]),
    "sam2_resize": (
        ctypes.c_int,
        [_BUFFER, ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t, ctypes.c_int, _BUFFER, _BUFFER, _BUFFER],
    ),
}


def _load() -> ctypes.CDLL:
    for suffix in EXTENSION_SUFFIXES:
        path = _FOLDER / f"_library{suffix}"
        if path.exists():
            library = ctypes.CDLL(str(path))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
            return library
    raise ImportError(f"the C part of sam2_backend is not built in {_FOLDER}; run: pip install -e backend")


library = _load()
