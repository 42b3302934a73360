"""Draws the sample images of the backend's page /ui: `python -m docs.make.samples`."""

from __future__ import annotations

from pathlib import Path

from docs.make.scenes import SCENES

FOLDER = Path(__file__).parents[2] / "backend" / "sam2_backend" / "http" / "page" / "samples"


def main() -> None:
    for draw in SCENES:
        scene = draw()
        scene.image.save(FOLDER / scene.name.replace(".png", ".jpg"), quality=88, optimize=True)


if __name__ == "__main__":
    main()
