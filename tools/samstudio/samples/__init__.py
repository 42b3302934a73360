"""Sample images drawn by us, with shapes whose true masks are known: what a verification click is measured against."""

from samstudio.samples.draw import FOLDER, MANIFEST, draw, load, named_by
from samstudio.samples.scenes import HEIGHT, SCENES, WIDTH, Scene, Shape, iou, mask, render

__all__ = [
    "FOLDER",
    "HEIGHT",
    "MANIFEST",
    "SCENES",
    "WIDTH",
    "Scene",
    "Shape",
    "draw",
    "iou",
    "load",
    "mask",
    "named_by",
    "render",
]
