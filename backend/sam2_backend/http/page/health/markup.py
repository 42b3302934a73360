"""HTML and SVG as a tree, so that whatever text is put into it is escaped."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring


def element(tag: str, *content: Element | str, **attributes: str) -> Element:
    """`class_` stands for `class`, `aria_label` for `aria-label`."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    last: Element | None = None
    for part in content:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or "") + part
        else:
            last.tail = (last.tail or "") + part
    return made


def document(root: Element) -> bytes:
    html: bytes = tostring(root, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + html
