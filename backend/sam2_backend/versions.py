"""The versions that matter when a mask looks wrong."""

from __future__ import annotations

import functools
import platform
from importlib import metadata

from sam2_backend import __version__

PACKAGES = ("torch", "openvino", "sam2", "numpy", "opencv-python-headless", "pillow", "starlette")


@functools.cache
def versions() -> dict[str, str]:
    """Version by name; a package that is not installed is left out."""
    found = {"sam2_backend": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
