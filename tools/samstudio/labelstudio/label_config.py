"""What a labeling config offers a SAM2 backend: where a click goes in, where a mask comes out, and what is missing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

#: Controls whose smart copy asks the backend, best first. (Polygon and ellipse send nothing, a brush what it ignores.)
PROMPT_TAGS = ("KeyPointLabels", "KeyPoint", "RectangleLabels", "Rectangle")
#: Controls into which the backend answers, best first.
OUTPUT_TAGS = (
    "BrushLabels",
    "Brush",
    "BitmaskLabels",
    "Bitmask",
    "PolygonLabels",
    "Polygon",
    "EllipseLabels",
    "Ellipse",
    "RectangleLabels",
    "Rectangle",
)


@dataclass(frozen=True)
class Control:
    """A control tag: `labels` are its own, or those of the shared <Labels> (`shared` is then that tag's name)."""

    tag: str
    name: str
    to_name: str
    labels: tuple[str, ...]
    smart: bool
    shared: str = ""

    def takes(self, label: str) -> bool:
        """Whether it can hold a region of this label; one without any labels takes whatever comes."""
        return label in self.labels or not (self.labels or self.tag.endswith("Labels"))


@dataclass(frozen=True)
class LabelConfig:
    image: str
    #: the key of the task data that holds the image: `image` for value="$image"
    data_key: str
    controls: tuple[Control, ...]

    @property
    def prompts(self) -> tuple[Control, ...]:
        """The smart key points, then the smart rectangles."""
        smart = [control for control in self.controls if control.smart and control.tag in PROMPT_TAGS]
        return tuple(sorted(smart, key=lambda control: PROMPT_TAGS.index(control.tag)))

    @property
    def outputs(self) -> tuple[Control, ...]:
        """Where a mask can go. A rectangle that people prompt with is one only where there is no other."""
        known = [control for control in self.controls if control.tag in OUTPUT_TAGS]
        chosen = [control for control in known if control not in self.prompts] or known
        return tuple(sorted(chosen, key=lambda control: OUTPUT_TAGS.index(control.tag)))

    @property
    def working_prompt(self) -> Control | None:
        """The first prompt that has labels, each of which an output takes."""
        return next(
            (
                prompt
                for prompt in self.prompts
                if prompt.labels and all(any(output.takes(label) for output in self.outputs) for label in prompt.labels)
            ),
            None,
        )


def parse(xml: str) -> LabelConfig:
    """Read the controls of the first <Image> that has a smart one, else of the first.

    Raises:
        ValueError: not XML, or no <Image> in it.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - a labeling config; expat expands no external entities
    except ET.ParseError as error:
        raise ValueError(f"the labeling config is not XML: {error}") from error
    images = list(root.iter("Image"))
    if not images:
        raise ValueError("the labeling config has no <Image>")
    read = [_of(root, image) for image in images]
    return next((config for config in read if config.prompts), read[0])


def _of(root: ET.Element, image: ET.Element) -> LabelConfig:
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
                smart=tag.get("smart", "").lower() == "true",
                shared="" if own or shared is None else shared.get("name", ""),
            )
        )
    return LabelConfig(name, image.get("value", image.get("valueList", "")).removeprefix("$"), tuple(controls))


def shows_an_image(xml: str) -> bool:
    try:
        parse(xml)
    except ValueError:
        return False
    return True


def missing(xml: str) -> list[str]:
    """What keeps a labeling config from working with the backend, each with the line that would mend it."""
    try:
        config = parse(xml)
    except ValueError as error:
        return [f'{error}; add <Image name="image" value="$image"/>']
    problems = []
    if not config.prompts:
        problems.append(
            "no smart control, so a click asks no model; add "
            f'<KeyPointLabels name="point" toName="{config.image}" smart="true">…</KeyPointLabels>'
        )
    if not config.outputs:
        problems.append(f'nowhere to put a mask; add <BrushLabels name="mask" toName="{config.image}">…</BrushLabels>')
    elif config.prompts and config.working_prompt is None:
        asked = sorted({label for prompt in config.prompts for label in prompt.labels})
        held = sorted({label for output in config.outputs for label in output.labels})
        problems.append(
            f"the labels do not match: the smart controls have {', '.join(asked) or 'none'}, "
            f'<{config.outputs[0].tag} name="{config.outputs[0].name}"> has {", ".join(held) or "none"}; '
            "give both the same"
        )
    return problems
