"""Tags of labeling configs, beside the parser of Label Studio's SDK."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface.interface import LabelInterface
from running import SPLIT_CONFIG, labels_config
from sam2_backend.label_studio.labeling_config import WORKING_CONFIG, read
from sam2_backend.label_studio.tags import BOTH, read_tags
from sam2_backend.problems import Problem


def same(xml: str) -> None:
    """All that this backend asks of a config."""
    expected, tags = LabelInterface(xml), read_tags(xml)
    controls = {tag.name: tag for tag in expected.controls}
    assert set(tags.controls) == set(controls)
    ordered = [name for name, tag in tags.controls.items() if tag.tag.lower() not in BOTH]
    assert ordered == [name for name in controls if name in ordered]
    for name, tag in ((name, controls[name]) for name in ordered):
        assert tags.controls[name].tag.lower() == tag.tag.lower()
        assert tags.controls[name].get("toName").split(",") == tag.to_name
        assert tags.controls[name].get("smart") == tag.attr.get("smart")
        assert tags.labels.get(name, set()) == set(tag.labels)
    images = {tag.name: tag.value for tag in expected.objects if tag.tag.lower() == "image"}
    found = {name: tag for name, tag in tags.objects.items() if tag.tag.lower() == "image"}
    assert {name: tag.get("valueList", tag.get("value")) for name, tag in found.items()} == images


@pytest.mark.parametrize(
    "xml",
    [
        SPLIT_CONFIG,
        WORKING_CONFIG,
        labels_config(),
        labels_config("PolygonLabels"),
        "<View/>",
        "<View><!-- --></View>",
    ],
)
def test_own_configs(xml: str) -> None:
    same(xml)


def templates() -> Iterator[str]:
    """The labeling configs that Label Studio offers to whoever makes a project."""
    label_studio = os.environ.get("SAMSTUDIO_TEST_LABEL_STUDIO")
    assert label_studio, "set SAMSTUDIO_TEST_LABEL_STUDIO to a virtual environment with Label Studio"
    for path in Path(label_studio).glob("lib/python3*/site-packages/label_studio/annotation_templates/*/*/config.yml"):
        yield yaml.safe_load(path.read_text())["config"]


@pytest.mark.integration
def test_label_studios_own_templates() -> None:
    found = list(templates())
    assert len(found) > 40
    assert sum(bool(read(xml).images) for xml in found) > 10
    for xml in found:
        same(xml)


names = st.sampled_from(["a", "b", "c", "image", ""])
values = st.sampled_from(["$image", "$images", "image", "x", "", "<&\"'", "  "])
attributes = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "toName": st.lists(names, max_size=2).map(",".join),
        "value": values,
        "valueList": values,
        "alias": values,
        "smart": st.sampled_from(["true", "True", "false", ""]),
    },
)
kinds = st.sampled_from(
    [
        "View",
        "Image",
        "image",
        "Label",
        "Choice",
        "Labels",
        "Filter",
        "Header",
        "BrushLabels",
        "Brush",
        "KeyPoint",
        "KeyPointLabels",
        "RectangleLabels",
        "Rectangle",
        "PolygonLabels",
        "Choices",
        "Text",
        "Relation",
        "Taxonomy",
    ]
)


def element(tag: str, given: dict[str, str], children: list[str]) -> str:
    written = "".join(f" {name}={quoteattr(value)}" for name, value in given.items())
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def unique_names(xml: str) -> str:
    """Label Studio takes no config that gives one name twice."""
    seen: set[str] = set()

    def name(found: re.Match[str]) -> str:
        once = found[0] if found[0] not in seen else f' name="{found[1]}{len(seen)}"'
        seen.add(once)
        return once

    return re.sub(r' name="(\w+)"', name, xml)


leaves = st.builds(element, kinds, attributes, st.just([])) | st.just("<!-- a note -->") | st.just("text")
configs = st.builds(
    element,
    st.just("View"),
    st.just({}),
    st.lists(
        st.recursive(
            leaves, lambda inner: st.builds(element, kinds, attributes, st.lists(inner, max_size=4)), max_leaves=8
        ),
        max_size=8,
    ),
).map(unique_names)


@settings(max_examples=200, deadline=None)
@given(xml=configs)
def test_any_config_is_sorted_as_the_sdk_does(xml: str) -> None:
    same(xml)


@pytest.mark.parametrize(
    "xml",
    [
        "<View>",
        "no XML",
        "<View a=1/>",
        "<View>&nbsp;</View>",
        '<!DOCTYPE View [<!ENTITY a "b">]><View>&a;</View>',
        '<!DOCTYPE View [<!ENTITY a SYSTEM "file:///etc/passwd">]><View>&a;</View>',
        "<View>\ud800</View>",
    ],
)
def test_what_is_no_config_is_refused_with_a_working_one(xml: str) -> None:
    with pytest.raises(Problem, match=r"cannot be read.*A working config") as refused:
        read(xml)
    assert refused.value.status == 422
