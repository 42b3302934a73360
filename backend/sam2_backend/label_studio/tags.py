"""The named tags of a labeling config, sorted as `LabelInterface` of Label Studio's SDK sorts them.

The SDK itself stays out: it imports pandas and nltk, which a server that reads twenty tags has no use for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

NO_CONTROLS = frozenset({"Filter"})
LABELS = frozenset({"Label", "Choice", "Relation"})
# Object and control in one.
BOTH = frozenset({"chat", "reactcode"})


@dataclass(slots=True)
class Tags:
    """By name, in the order of the text. objects: what is annotated; controls: what annotates; labels: of a control."""

    objects: dict[str, Element] = field(default_factory=dict)
    controls: dict[str, Element] = field(default_factory=dict)
    labels: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def read_tags(xml: str) -> Tags:
    """Raises ParseError for what is no XML, ValueError for what no config needs: entities, external references."""
    tags = Tags()
    root: Element = fromstring(xml)
    owner: dict[Element, str] = {root: ""}  # the nearest control above it
    for tag in root.iter():
        _sort(tag, owner[tag], tags)
        name = tag.get("name", "")
        for child in tag:
            owner[child] = name if name in tags.controls else owner[tag]
    return tags


def _sort(tag: Element, owner: str, tags: Tags) -> None:
    name, value = tag.get("name"), tag.get("value")
    if name and ((tag.get("toName") and tag.tag not in NO_CONTROLS) or tag.tag.lower() in BOTH):
        tags.controls[name] = tag
    elif name and (value or tag.get("valueList")):
        tags.objects[name] = tag
    elif tag.tag in LABELS and owner:
        label = tag.get("alias") or value
        if label is not None:
            tags.labels[owner].add(label)
