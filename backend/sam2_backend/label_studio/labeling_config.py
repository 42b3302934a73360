"""What a project's labeling config lets us do: which image tags there are, and which control tag takes a mask."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

from sam2_backend.label_studio.tags import Tags, read_tags
from sam2_backend.problems import Problem

OUTPUT_KINDS = ("brush", "bitmask", "polygon", "ellipse", "rectangle")
# Those of them that hold a mask, and not just a shape around it.
MASK_KINDS = ("brush", "bitmask", "polygon")
PROMPT_KINDS = ("keypoint", "rectangle")
UNDEFINED = "$undefined$"
# The name of no tag: what is to be visible when one of its choices is selected never counts as visible.
NO_TAG = "no-tag"
WORKING_CONFIG = (
    '<View><Labels name="label" toName="image"><Label value="object"/></Labels>'
    '<KeyPoint name="kp" toName="image" smart="true" smartOnly="true"/>'
    '<Rectangle name="rect" toName="image" smart="true" smartOnly="true"/>'
    '<Brush name="brush" toName="image" smart="false"/><Image name="image" value="$image"/></View>'
)


@dataclass(frozen=True, slots=True)
class ImageTag:
    """key: where the task's data holds the address (or, for `valueList`, the list of addresses)."""

    name: str
    key: str

    def address(self, data: Mapping[str, object], index: int | None) -> str:
        """The image's address in a task's data. Raises Problem if there is none."""
        value: object = data.get(self.key, data.get(UNDEFINED))
        if value is None and "." in self.key:
            value = data
            for part in self.key.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, list):
            position = index or 0
            value = value[position] if 0 <= position < len(value) else None
        if not isinstance(value, str) or not value:
            keys = ", ".join(sorted(map(str, data))) or "nothing"
            raise Problem(
                422, "task", f'The task has no image under "{self.key}" (tag "{self.name}"); its data holds {keys}.'
            )
        return value


@dataclass(frozen=True, slots=True)
class Output:
    """A control tag that takes a mask.

    kind: one of OUTPUT_KINDS; type: as in a result item, `brushlabels` or, with a separate `Labels` tag, `brush`.
    labels: the values it knows (its own for `*Labels` tags), or None if it carries none itself.
    """

    name: str
    to_name: str
    kind: str
    type: str
    labels: frozenset[str] | None

    @property
    def labelled(self) -> bool:
        return self.labels is not None


@dataclass(frozen=True, slots=True)
class LabelsTag:
    name: str
    to_name: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class TextField:
    """Two `TextArea`: `name` takes what is typed and shows the answer, `mark` keeps that from being stored."""

    name: str
    mark: str
    to_name: str


@dataclass(frozen=True, slots=True)
class LabelingConfig:
    images: Mapping[str, ImageTag]
    outputs: tuple[Output, ...]
    label_tags: tuple[LabelsTag, ...]
    prompts: frozenset[str]
    field: TextField | None
    empty: bool

    def image(self, name: str) -> ImageTag:
        if name not in self.images:
            known = ", ".join(sorted(self.images)) or "none"
            raise Problem(422, "label_config", f'The prompt is for an image tag "{name}"; the config has {known}.')
        return self.images[name]

    def output(
        self, to_name: str, labels: Collection[str], *, split: bool, kinds: Sequence[str] = OUTPUT_KINDS
    ) -> tuple[Output, LabelsTag | None]:
        """The tag for a mask on this image and, if that is a plain tag, the `Labels` tag that names it.

        labels: what the mask is to be called, all of which the tag must know. split: the prompt came as a pair of plain
        tag and `Labels`; tags of the same style are preferred. kinds: which tags may be taken.
        """
        wanted = set(labels)
        candidates = [tag for tag in self.outputs if tag.to_name == to_name and tag.kind in kinds]
        fitting: list[tuple[Output, LabelsTag | None]] = []
        for tag in candidates:
            if tag.labels is not None:
                if wanted <= tag.labels:
                    fitting.append((tag, None))
            else:
                naming = [tags for tags in self.label_tags if tags.to_name == to_name]
                named = next((tags for tags in naming if wanted <= tags.labels), None)
                if named or not naming:
                    fitting.append((tag, named))
        if not fitting:
            names = " or ".join(f'"{tag.name}"' for tag in candidates)
            called = " and ".join(f'"{label}"' for label in labels)
            added = "".join(f"<Label value={quoteattr(label)}/>" for label in labels)
            raise Problem(
                422,
                "label_config",
                f"The prompt has the label {called}, which the output tag {names} does not know: "
                f"add {added} to it in the labeling config."
                if candidates
                else f'The config has no output tag for image "{to_name}": add e.g. '
                f'<Brush name="brush" toName="{to_name}" smart="false"/>. A working config: {WORKING_CONFIG}',
            )
        return min(fitting, key=lambda pair: (pair[0].labelled == split, OUTPUT_KINDS.index(pair[0].kind)))

    def labels(self, to_name: str, kinds: Sequence[str]) -> list[str]:
        """Those that a mask on this image can have, in the order of the alphabet."""
        tags = [tag for tag in self.outputs if tag.to_name == to_name and tag.kind in kinds]
        known: set[str] = set().union(*(tag.labels for tag in tags if tag.labels is not None))
        if any(not tag.labelled for tag in tags):
            known.update(*(tag.labels for tag in self.label_tags if tag.to_name == to_name))
        return sorted(known)

    def unknown(self, to_name: str, labels: Collection[str], kinds: Sequence[str]) -> list[str]:
        """Those labels of a region on a known image that no output tag of these kinds knows."""
        tags = [tag for tag in self.outputs if tag.to_name == to_name and tag.kind in kinds]
        naming = [tag.labels for tag in self.label_tags if tag.to_name == to_name]
        if any(not tag.labelled for tag in tags) and not naming:
            return []
        known = self.labels(to_name, kinds)
        return [label for label in labels if label not in known] if to_name in self.images else []

    def check(self) -> None:
        """Raises Problem, naming the missing tag, if no click on this project could ever return a mask."""
        if self.empty:
            return
        if not self.images:
            missing = 'an <Image name="image" value="$image"/> tag'
        elif not self.prompts:
            missing = 'a prompt tag: <KeyPoint> or <Rectangle> (or KeyPointLabels, RectangleLabels) with smart="true"'
        elif not self.outputs:
            missing = (
                "an output tag: Brush, BrushLabels, BitmaskLabels, PolygonLabels, RectangleLabels or EllipseLabels"
            )
        else:
            return
        raise Problem(422, "label_config", f"The labeling config lacks {missing}. A working config: {WORKING_CONFIG}")


@functools.lru_cache(maxsize=256)
def read(xml: str) -> LabelingConfig:
    """Raises Problem if the text is no labeling config."""
    if not xml.strip():
        return LabelingConfig({}, (), (), frozenset(), None, empty=True)
    try:
        tags = read_tags(xml)
    except (ParseError, ValueError) as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise Problem(
            422, "label_config", f"The labeling config cannot be read: {detail}. A working config: {WORKING_CONFIG}"
        ) from None
    images = {
        name: ImageTag(name, (tag.get("valueList", tag.get("value")) or "").lstrip("$"))
        for name, tag in tags.objects.items()
        if tag.tag.lower() == "image"
    }
    outputs: list[Output] = []
    label_tags: list[LabelsTag] = []
    prompts: set[str] = set()
    smart_boxes: list[Output] = []
    for name, control in tags.controls.items():
        tag = control.tag.lower()
        to_name = next((target for target in control.get("toName", "").split(",") if target in images), None)
        if to_name is None:
            continue
        labels = frozenset(tags.labels.get(name, ()))
        kind = tag.removesuffix("labels")
        smart = control.get("smart", "").lower() == "true"
        if tag == "labels":
            label_tags.append(LabelsTag(name, to_name, labels))
            continue
        if kind in PROMPT_KINDS and smart:
            prompts.add(name)
        if kind in OUTPUT_KINDS:
            output = Output(name, to_name, kind, tag, labels if tag.endswith("labels") else None)
            (smart_boxes if smart and kind == "rectangle" else outputs).append(output)
    # A rectangle tag that annotators prompt with is an output only where nothing else could take a mask.
    outputs += smart_boxes if not outputs else []
    field = _text_field(tags, images)
    return LabelingConfig(images, tuple(outputs), tuple(label_tags), frozenset(prompts), field, empty=not tags.controls)


def _text_field(tags: Tags, images: Collection[str]) -> TextField | None:
    """The first that the editor would store nothing of."""
    areas = {name: tag for name, tag in tags.controls.items() if tag.tag.lower() == "textarea"}
    for name, area in areas.items():
        image, mark = area.get("toName", ""), area.get("whenTagName", "")
        other = areas.get(mark)
        if area.get("visibleWhen") != "choice-unselected" or other is None or other.get("toName") != image:
            continue
        hidden = other.get("visibleWhen") == "choice-selected" and other.get("whenTagName") == NO_TAG
        if image in images and hidden and other.get("perRegion", "").lower() == "true":
            return TextField(name, mark, image)
    return None
