from __future__ import annotations

import pytest
from samstudio import labeling_configs
from samstudio.labelstudio import LabelStudioError
from samstudio.labelstudio.label_config import missing, parse
from samstudio.labelstudio.prompts import prompt

IMAGE = '<Image name="img" value="$scan"/>'
BRUSH = '<BrushLabels name="b" toName="img"><Label value="cell"/></BrushLabels>'
POINT = '<KeyPointLabels name="k" toName="img" smart="true"><Label value="cell"/></KeyPointLabels>'
BOX = '<RectangleLabels name="r" toName="img" smart="true"><Label value="cell"/></RectangleLabels>'
NUCLEUS = BRUSH.replace("cell", "nucleus").replace('"b"', '"n"')
BOTH = POINT.replace("</", '<Label value="nucleus"/></')


def view(*tags: str) -> str:
    return f"<View>{''.join(tags)}</View>"


@pytest.mark.parametrize("name", labeling_configs.NAMES)
def test_our_own_configs_lack_nothing(name: str) -> None:
    assert missing(labeling_configs.read(name)) == []
    config = parse(labeling_configs.read(name))
    assert config.data_key == "image"
    assert config.outputs[0].tag in ("Brush", "BrushLabels")


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<View>", "not XML"),
        ("<View/>", "no <Image>"),
        (view(IMAGE, BRUSH), "no smart control"),
        (view(IMAGE, POINT), "nowhere to put a mask"),
        (view(IMAGE, POINT, NUCLEUS), "labels do not match"),
        (view(IMAGE, BOTH, BRUSH), "labels do not match"),
        (view(IMAGE, POINT.replace("img", "other"), BRUSH), "no smart control"),
        (view(IMAGE, POINT, BRUSH.replace("BrushLabels", "VectorLabels")), "nowhere to put a mask"),
    ],
)
def test_what_is_missing_is_named(xml: str, says: str) -> None:
    assert any(says in problem for problem in missing(xml)), missing(xml)


@pytest.mark.parametrize(
    ("xml", "control"),
    [
        (view(IMAGE, POINT, BOX, BRUSH), "k"),
        (view(IMAGE, BOX, BRUSH), "r"),
        (view(IMAGE, POINT.replace("cell", "dust"), BOX, BRUSH), "r"),  # the backend has no place for dust
        (view(IMAGE, BOTH, BRUSH, NUCLEUS), "k"),  # a brush for each label
        (view(IMAGE, BOX), "r"),  # the answer is a tighter rectangle
        (view(IMAGE, POINT, '<Brush name="b" toName="img"/>'), "k"),  # a plain brush takes any label
        (view('<Image name="map" value="$map"/>', IMAGE, BOX, BRUSH), "r"),  # a second image is the one that is labeled
    ],
    ids=lambda value: "" if "<" in value else value,
)
def test_a_click_uses_a_prompt_that_the_config_offers(xml: str, control: str) -> None:
    assert missing(xml) == []
    assert parse(xml).data_key == "scan"
    (item,) = prompt(parse(xml), (256, 192), (1024, 768))
    assert (item["from_name"], item["to_name"]) == (control, "img")


def test_a_point_is_what_the_editor_sends() -> None:
    shared = prompt(parse(labeling_configs.read("quick_start")), (512, 384), (1024, 768))
    assert [(item["type"], item["from_name"]) for item in shared] == [("keypoint", "point"), ("labels", "label")]
    assert shared[0]["id"] == shared[1]["id"]
    (own,) = prompt(parse(view(IMAGE, POINT, BRUSH)), (512, 384), (1024, 768))
    assert own["value"] == {"x": 50.0, "y": 50.0, "width": 0.26, "labels": ["cell"], "keypointlabels": ["cell"]}
    assert own["is_positive"]


def test_a_rectangle_is_what_the_editor_sends() -> None:
    (own,) = prompt(parse(view(IMAGE, BOX, BRUSH)), (512, 384), (1024, 768), box=(256, 96, 768, 672))
    assert own["value"] == {
        "x": 25.0,
        "y": 12.5,
        "width": 50.0,
        "height": 75.0,
        "rotation": 0,
        "rectanglelabels": ["cell"],
    }
    assert own["type"] == "rectanglelabels"
    assert "is_positive" not in own
    plain = labeling_configs.read("quick_start").replace("<KeyPoint ", "<Ellipse ")
    shared = prompt(parse(plain), (512, 384), (1024, 768))
    assert [(item["type"], item["from_name"]) for item in shared] == [("rectangle", "box"), ("labels", "label")]
    assert "labels" not in shared[0]["value"]
    assert shared[1]["value"]["labels"] == ["object"]


def test_without_a_smart_control_there_is_no_click() -> None:
    with pytest.raises(LabelStudioError) as raised:
        prompt(parse(view(IMAGE, BRUSH)), (0, 0), (1, 1))
    assert raised.value.link == "label-config"
    assert "--set-config" not in raised.value.command
