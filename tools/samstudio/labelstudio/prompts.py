"""What the editor sends when somebody uses a smart tool: a point or a rectangle, as the labeling config has them."""

from __future__ import annotations

import uuid
from typing import Any

from samstudio.labelstudio.client import LabelStudioError
from samstudio.labelstudio.label_config import Control, LabelConfig

#: the editor's own diameter of a key point, in percent of the image's width
POINT_WIDTH = 0.26


def prompt(
    config: LabelConfig,
    point: tuple[float, float],
    size: tuple[int, int],
    *,
    box: tuple[float, float, float, float] | None = None,
) -> list[dict[str, Any]]:
    """A positive click, or, in a project without a smart key point, a rectangle.

    Args:
        point: (x, y) in pixels.
        size: the image's (width, height) in pixels.
        box: the rectangle's (left, top, right, bottom) in pixels. Default: half of the image, in its middle.

    Returns:
        `context.result`: one item, or, with a shared <Labels>, two items of one id.

    Raises:
        LabelStudioError: the labeling config has no smart key point or rectangle whose labels the backend can answer.
    """
    control = config.working_prompt
    if control is None:
        raise LabelStudioError(
            "The labeling config has no smart control to click with.",
            link="label-config",
            found=", ".join(f"<{control.tag} {control.name!r}>" for control in config.prompts) or "no smart control",
            expected='a <KeyPointLabels> or <RectangleLabels> with smart="true" and with labels that a brush has',
            command="open the project in Label Studio, Settings, Labeling Interface, Code, and add them",
        )
    width, height = size
    if control.tag.startswith("KeyPoint"):
        place = {"x": point[0] / width * 100, "y": point[1] / height * 100, "width": POINT_WIDTH}
        return _items(control, "keypoint", place, size, is_positive=True)
    left, top, right, bottom = box or (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
    place = {
        "x": left / width * 100,
        "y": top / height * 100,
        "width": (right - left) / width * 100,
        "height": (bottom - top) / height * 100,
        "rotation": 0,
    }
    return _items(control, "rectangle", place, size)


def _items(
    control: Control, kind: str, place: dict[str, float], size: tuple[int, int], **more: bool
) -> list[dict[str, Any]]:
    labels = [control.labels[0]]
    item = {
        "id": uuid.uuid4().hex[:10],
        "to_name": control.to_name,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "origin": "manual",
        **more,
    }
    # a key point repeats its labels, a rectangle does not
    repeated = {"labels": labels} if kind == "keypoint" else {}
    if not control.shared:
        value = {**place, **repeated, f"{kind}labels": labels}
        return [{**item, "from_name": control.name, "type": f"{kind}labels", "value": value}]
    return [
        {**item, "from_name": control.name, "type": kind, "value": {**place, **repeated}},
        {**item, "from_name": control.shared, "type": "labels", "value": {**place, "labels": labels}},
    ]
