"""What a labeling config offers a SAM2 backend: where a click goes in, where a mask comes out, and what is missing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

#: Controls whose smart copy sends a prompt (measured in the editor; polygon, ellipse and vector tools never do).
PROMPT_TAGS = ("KeyPointLabels", "KeyPoint", "RectangleLabels", "Rectangle", "BrushLabels", "Brush")
#: Controls that can hold what a segmentation returns, best first.
OUTPUT_TAGS = (
    "BrushLabels", "Brush", "BitmaskLabels", "Bitmask", "PolygonLabels", "Polygon", "VectorLabels", "Vector",
    "EllipseLabels", "Ellipse", "RectangleLabels", "Rectangle",
)  # fmt: skip
BRUSHES = ("BrushLabels", "Brush")


@dataclass(frozen=True)
class Control:
    """A control tag: `labels` are its own, or those of the shared <Labels> (`shared` is then that tag's name)."""

    tag: str
    name: str
    to_name: str
    labels: tuple[str, ...]
    smart: bool
    shared: str = ""


@dataclass(frozen=True)
class LabelConfig:
    image: str
    #: the key of the task data that holds the image: `image` for value="$image"
    data_key: str
    controls: tuple[Control, ...]

    def prompts(self, kind: str) -> tuple[Control, ...]:
        """The smart controls of a kind: `KeyPoint` or `Rectangle`, shared labels or own."""
        smart = (control for control in self.controls if control.smart)
        return tuple(control for control in smart if control.tag.removesuffix("Labels") == kind)

    @property
    def outputs(self) -> tuple[Control, ...]:
        known = [control for control in self.controls if control.tag in OUTPUT_TAGS]
        return tuple(sorted(known, key=lambda control: OUTPUT_TAGS.index(control.tag)))


def parse(xml: str) -> LabelConfig:
    """Read the controls of the first <Image>.

    Raises:
        ValueError: not XML, or no <Image> in it.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - a labeling config; expat expands no external entities
    except ET.ParseError as error:
        raise ValueError(f"the labeling config is not XML: {error}") from error
    image = next(iter(root.iter("Image")), None)
    if image is None:
        raise ValueError("the labeling config has no <Image>")
    name = image.get("name", "")
    shared = next((tag for tag in root.iter("Labels") if tag.get("toName") == name), None)
    controls = []
    for tag in root.iter():
        if tag.get("toName") != name or tag.tag not in {*PROMPT_TAGS, *OUTPUT_TAGS}:
            continue
        own = tag.tag.endswith("Labels")
        source = tag if own else shared
        labels = () if source is None else tuple(label.get("value", "") for label in source.iter("Label"))
        controls.append(
            Control(
                tag=tag.tag,
                name=tag.get("name", ""),
                to_name=name,
                labels=labels,
                smart=tag.get("smart") == "true",
                shared="" if own or shared is None else shared.get("name", ""),
            )
        )
    return LabelConfig(name, image.get("value", image.get("valueList", "")).removeprefix("$"), tuple(controls))


def missing(xml: str) -> list[str]:
    """What keeps a labeling config from working with the backend, each with the line that would mend it."""
    try:
        config = parse(xml)
    except ValueError as error:
        return [f'{error}; add <Image name="image" value="$image"/>']
    problems = []
    prompts = [*config.prompts("KeyPoint"), *config.prompts("Rectangle")]
    if not prompts:
        problems.append(
            "no smart control, so a click asks no model; add "
            f'<KeyPointLabels name="point" toName="{config.image}" smart="true">…</KeyPointLabels>'
        )
    outputs = [control for control in config.outputs if control not in prompts]
    if not outputs:
        problems.append(f'nowhere to put a mask; add <BrushLabels name="mask" toName="{config.image}">…</BrushLabels>')
    elif prompts and not any(
        set(prompt.labels) <= set(output.labels) and prompt.labels for prompt in prompts for output in outputs
    ):
        asked = sorted({label for prompt in prompts for label in prompt.labels})
        held = sorted({label for output in outputs for label in output.labels})
        problems.append(
            f"the labels do not match: the smart controls have {', '.join(asked) or 'none'}, "
            f'<{outputs[0].tag} name="{outputs[0].name}"> has {", ".join(held) or "none"}; give both the same'
        )
    return problems
