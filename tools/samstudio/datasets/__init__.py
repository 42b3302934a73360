"""Boxes that lie in a file beside their images, COCO's or YOLO's, as tasks of a Label Studio project.

`coco.read` and `yolo.read` give what a file says, `pictures.look` compares it with the images, `importing` makes tasks
of these and predictions of the boxes. What is wrong with one box or one image is a line of the report, and the others
go on: that is why no converter of others is used. Label Studio's own and globox end at the first box that they cannot
read, and neither looks whether the image is the one that the boxes were made on.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Box:
    """Left and top corner, width and height: in pixels of `Listed.size`, or as shares of the image where that is None.

    score: a detector's confidence, None from people.
    """

    label: str
    left: float
    top: float
    width: float
    height: float
    score: float | None = None


@dataclass
class Listed:
    """An image as the file has it.

    Attributes:
        file: its path below the folder of images, with slashes.
        size: width and height of the image that the boxes were made on; None where the boxes are shares of it.
        problems: a sentence for each line of the file that is no box.
    """

    file: str
    size: tuple[int, int] | None
    boxes: list[Box] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Dataset:
    """What a file says. `name`: the file's; `problems`: sentences about what belongs to no image."""

    name: str
    images: list[Listed]
    problems: list[str] = field(default_factory=list)
