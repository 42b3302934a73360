from __future__ import annotations

import pytest
from samstudio import labeling_configs, verification
from samstudio.labelstudio import LabelStudioError
from samstudio.labelstudio.label_config import missing, parse

IMAGE = '<Image name="img" value="$scan"/>'
BRUSH = '<BrushLabels name="b" toName="img"><Label value="cell"/></BrushLabels>'
POINT = '<KeyPointLabels name="k" toName="img" smart="true"><Label value="cell"/></KeyPointLabels>'


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
        (f"<View>{IMAGE}{BRUSH}</View>", "no smart control"),
        (f"<View>{IMAGE}{POINT}</View>", "nowhere to put a mask"),
        (f"<View>{IMAGE}{POINT}{BRUSH.replace('cell', 'nucleus')}</View>", "labels do not match"),
        (f"<View>{IMAGE}{POINT.replace('img', 'other')}{BRUSH}</View>", "no smart control"),
    ],
)
def test_what_is_missing_is_named(xml: str, says: str) -> None:
    assert any(says in problem for problem in missing(xml)), missing(xml)


def test_a_click_is_what_the_editor_sends() -> None:
    shared = verification.keypoint(parse(labeling_configs.read("quick_start")), (512, 384), (1024, 768))
    assert [(item["type"], item["from_name"]) for item in shared] == [("keypoint", "point"), ("labels", "label")]
    assert shared[0]["id"] == shared[1]["id"]
    (own,) = verification.keypoint(parse(f"<View>{IMAGE}{POINT}{BRUSH}</View>"), (512, 384), (1024, 768))
    assert own["value"] == {"x": 50.0, "y": 50.0, "width": 0.26, "labels": ["cell"], "keypointlabels": ["cell"]}


def test_without_a_smart_key_point_there_is_no_click() -> None:
    with pytest.raises(LabelStudioError) as raised:
        verification.keypoint(parse(f"<View>{IMAGE}{BRUSH}</View>"), (0, 0), (1, 1))
    assert raised.value.link == "label-config"
