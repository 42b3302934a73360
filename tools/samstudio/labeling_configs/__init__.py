"""The labeling configs and the instructions that projects of our own are made with."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib.resources import files

#: `quick_start` needs the fewest steps: one shared label, kept from click to click. `tutorial` is the widely known one.
NAMES = ("quick_start", "tutorial")
DEFAULT = NAMES[0]
#: Told apart by people who see no red or no green as well (https://jfly.uni-koeln.de/color/); in turn.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")


def read(name: str) -> str:
    return _text(f"{name}.xml").replace("<TextField/>", text_field())


def text_field() -> str:
    """Where annotators type `boxes` or `all`, for an image tag named `image` (docs/masks.md, *In the editor*).

    The style hides the field while a label is chosen, because the editor gives that label to every mask that is
    accepted, and makes the page wait for the answer, because it would label what was typed as well. Sentences have a
    line break, and all of them is the button that deletes them, so that the next line can be typed.
    """
    return _text("text_field.xml").rstrip()


def with_labels(labels: Sequence[str]) -> str:
    """The quick start's config with other labels."""
    root = ET.fromstring(read(DEFAULT))  # noqa: S314 - our own file
    shared = next(root.iter("Labels"))
    for former in list(shared):
        shared.remove(former)
    for number, label in enumerate(labels):
        ET.SubElement(shared, "Label", value=label, background=COLOURS[number % len(COLOURS)])
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def instructions() -> str:
    """HTML for annotators: how to click, and what a click without a mask means, of which Label Studio says nothing."""
    return _text("instructions.html")


def _text(file: str) -> str:
    return files(__name__).joinpath(file).read_text(encoding="utf-8")
