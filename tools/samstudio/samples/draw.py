"""Scenes as files: PNG images, and a manifest from which the masks can be computed again."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image

from samstudio.errors import SamstudioError
from samstudio.samples.scenes import HEIGHT, SCENES, WIDTH, Scene, Shape, render

#: below the images folder
FOLDER = "samples"
MANIFEST = "samples.json"
#: A sample as a task's image address names it: in the served folder, or uploaded.
ADDRESS = re.compile(rf"(?:^|[/=]){FOLDER}/([^/]+)$|/upload/\d+/[0-9a-f]{{8}}-([^/]+)$")


def draw(folder: Path, *, check: bool = False) -> list[str]:
    """Write the images and the manifest into a folder, where they are missing or differ.

    Returns:
        the names that were (or, with `check`, would be) written.
    """
    wanted = [(scene.file, scene) for scene in SCENES]
    stale = [name for name, scene in wanted if not _same(folder / name, scene)]
    manifest = json.dumps({"width": WIDTH, "height": HEIGHT, "images": [asdict(scene) for scene in SCENES]}, indent=1)
    path = folder / MANIFEST
    rewrite = not path.exists() or path.read_text(encoding="utf-8") != manifest
    if not check:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, scene in wanted:
            if name in stale:
                image = io.BytesIO()
                render(scene).save(image, "PNG")
                _write(folder / name, image.getvalue())
        if rewrite:
            _write(path, manifest.encode())
    return stale + [MANIFEST] * rewrite


def named_by(address: str) -> str:
    """The file of the sample that a task's image address names, "" for any other image."""
    found = ADDRESS.search(unquote(address))
    name = (found[1] or found[2]) if found else ""
    return name if any(name == scene.file for scene in SCENES) else ""


def load(folder: Path) -> tuple[Scene, ...]:
    """The scenes that a folder's manifest describes.

    Raises:
        SamstudioError: no manifest, or one this version does not understand.
    """
    path = folder / MANIFEST
    command = f"samstudio samples draw --dir {folder}"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_scene(image) for image in manifest["images"])
    except FileNotFoundError as error:
        raise SamstudioError(
            "There are no sample images to click.", found=f"no {path}", expected="drawn samples", command=command
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SamstudioError(
            f"{path} cannot be understood.", found=repr(error), expected="what this version draws", command=command
        ) from error


def _scene(data: dict[str, Any]) -> Scene:
    shapes = tuple(Shape(**_tuples(shape)) for shape in data["shapes"])
    return Scene(**{**_tuples(data), "shapes": shapes})


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""

    def tupled(value: Any) -> Any:
        return tuple(map(tupled, value)) if isinstance(value, list) else value

    return {name: tupled(value) for name, value in data.items()}


def _same(path: Path, scene: Scene) -> bool:
    """Whether a file shows the scene. Pixels are compared: compression differs between builds of zlib."""
    try:
        with Image.open(path) as image:
            return np.array_equal(np.asarray(image.convert("RGB")), np.asarray(render(scene)))
    except (OSError, ValueError):
        return False


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
    Path(temporary).replace(path)
