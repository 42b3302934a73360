"""What COCO and YOLO files say, line by line, and whether the images are those that the boxes were made on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from samstudio import labeling_configs
from samstudio.datasets import Box, Listed, coco, pictures, places, regions, yolo
from samstudio.deployment import Deployment, ImageSettings, LabelStudioSettings
from samstudio.errors import NothingToLookAt, WrongCommandLine
from samstudio.labelstudio import label_config

from tools.tests.boxed_scenes import CONFIG, LABELS

AWKWARD = 'leaf, "old" & <wet>'


def write_coco(folder: Path, **lists: Any) -> Path:
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": [], **lists}))
    return file


def image(path: Path, size: tuple[int, int] = (200, 100), orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_what_a_coco_file_says(tmp_path: Path) -> None:
    read = coco.read(
        write_coco(
            tmp_path,
            images=[
                {"id": 7, "file_name": "a/1.jpg", "width": 200, "height": 100},
                {"id": "8", "file_name": "2.jpg"},
                {"id": 9},
            ],
            categories=[{"id": 1, "name": AWKWARD}, {"id": 2}],
            annotations=[
                {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40.5], "score": 0.5},
                {"id": 2, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]},
                {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3]},
                {"id": 4, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},
                {"id": 5, "image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4]},
                {"id": 6, "image_id": 7, "category_id": 1},
            ],
        )
    )
    first, second = read.images
    assert (first.file, first.size, first.boxes) == ("a/1.jpg", (200, 100), [Box(AWKWARD, 10, 20, 30, 40.5, 0.5)])
    assert (second.size, second.boxes) == ((0, 0), [])
    assert [text.partition(":")[0] for text in first.problems] == [f"annotation {number}" for number in (2, 3, 4, 6)]
    assert len(read.problems) == 2
    assert "image 99" in read.problems[1]


@pytest.mark.parametrize("content", ["", "[]", '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', '{"images": []}', "\udc80"])
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(content, errors="surrogateescape")
    with pytest.raises(WrongCommandLine, match="cannot be read as COCO"):
        coco.read(file)


def test_what_yolo_files_say(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "images" / "train"
    for name in ("a/1.jpg", "2.jpg", "3.jpg"):
        image(folder / name)
    beside = tmp_path / "set" / "labels" / "train"
    (beside / "a").mkdir(parents=True)
    (beside / "a" / "1.txt").write_text(
        "1 0.5 0.5 0.25 0.5 0.75\n\n9 0.5 0.5 0.1 0.1\n0 .1 .1 .2 .1 .3 .3\n0 a b c d\n"
    )
    (folder / "2.txt").write_text("0.0 0.5 0.5 1 1\n")
    names = tmp_path / "data.yaml"
    for text in ("names: [cell, 'leaf, \"old\" & <wet>']", "names: {0: cell, 1: 'leaf, \"old\" & <wet>'}"):
        names.write_text(text)
        first, second, third = sorted(yolo.read(names, folder).images, key=lambda each: each.file[-5])
        assert (first.file, first.size) == ("a/1.jpg", None)
        assert first.boxes == [Box(AWKWARD, 0.375, 0.25, 0.25, 0.5, 0.75)]
        assert [text.partition(" of")[0] for text in first.problems] == ["line 3", "line 4", "line 5"]
        assert second.boxes == [Box("cell", 0, 0, 1, 1)]
        assert (third.boxes, third.problems) == ([], [])
    (tmp_path / "classes.txt").write_text("cell\nwall\n")
    assert yolo.read(tmp_path / "classes.txt", folder).images[0].boxes == [Box("cell", 0, 0, 1, 1)]
    with pytest.raises(WrongCommandLine, match="names"):
        yolo.read(beside / "missing.yaml", folder)
    (tmp_path / "none").mkdir()
    with pytest.raises(NothingToLookAt, match="text file"):
        yolo.read(names, tmp_path / "none")


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (Listed("none.jpg", None), "no such file"),
        (Listed("../out.jpg", None), "not below"),
        (Listed("turned.jpg", (200, 100)), "image of 200x100, but the file, upright, is 100x200"),
        (Listed("1.jpg", (0, 0)), "image of 0x0"),
        (Listed("1.jpg", (100, 100)), "image of 100x100"),
        (Listed("broken.jpg", None), "cannot be opened"),
        (Listed("plain.tif", None), "a browser does not show it"),
    ],
)
def test_an_image_that_cannot_be_used_is_told(tmp_path: Path, listed: Listed, reason: str) -> None:
    folder = tmp_path / "images"
    image(folder / "1.jpg")
    image(folder / "turned.jpg", orientation=6)
    image(folder / "plain.tif")
    image(tmp_path / "out.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=reason):
        pictures.look(listed, folder)


def test_boxes_become_shares_of_the_upright_image(tmp_path: Path) -> None:
    image(tmp_path / "turned.jpg", size=(200, 100), orientation=6)
    boxes = [
        Box("a", 25, 100, 50, 50, 7.0),
        Box("b", -10, 190, 30, 30),
        Box("c", 10, 10, 0, 5),
        Box("d", 100, 10, 5, 5),
        Box("e", float("nan"), 10, 5, 5),
        Box("f", 0, 0, float("inf"), 5),
    ]
    picture = pictures.look(Listed("./turned.jpg", (100, 200), boxes, ["line 1: wrong."]), tmp_path)
    assert (picture.file, picture.size) == ("turned.jpg", (100, 200))
    whole, cut = picture.boxes
    assert whole == Box("a", 0.25, 0.5, 0.5, 0.25)
    assert (cut.left, cut.top, cut.width, cut.height) == pytest.approx((0, 0.95, 0.2, 0.05))
    endings = ["line 1: wrong.", "no area.", "outside the image.", "no finite place.", "no finite place."]
    assert [text.endswith(end) for text, end in zip(picture.problems, endings, strict=True)] == [True] * 5
    half = pictures.look(Listed("turned.jpg", (50, 100), [Box("a", 25, 0, 25, 100)]), tmp_path)
    assert half.boxes == [Box("a", 0.5, 0, 0.5, 1)]


@pytest.mark.parametrize("config", [CONFIG, labeling_configs.with_labels(LABELS)], ids=["own labels", "shared labels"])
def test_regions_are_those_of_the_control_that_knows_the_label(config: str) -> None:
    parsed = label_config.parse(config)
    assert regions.without_control(parsed, LABELS, regions.BOX_TAGS) == []
    assert regions.without_control(parsed, [*LABELS, "tree"], regions.BOX_TAGS) == ["tree"]
    picture = pictures.Picture("1.jpg", Path("1.jpg"), (200, 100), 1, [Box(LABELS[1], 0.1, 0.2, 0.3, 0.4, 0.5)])
    made = regions.prediction(picture, parsed, "boxes of x")
    assert made["score"] == 0.5
    assert len({item["id"] for item in made["result"]}) == 1
    named = [value for item in made["result"] for value in item["value"].values() if isinstance(value, list)]
    assert named == [[LABELS[1]]]
    assert {item["value"]["width"] for item in made["result"]} == {30}
    moved = regions.prediction(
        pictures.Picture("1.jpg", Path("1.jpg"), (200, 100), 1, [Box(LABELS[1], 0.1, 0.2, 0.31, 0.4)]), parsed, "x"
    )
    assert not regions.same(made["result"], moved["result"])
    assert regions.same(made["result"], [{**item, "id": "other"} for item in reversed(made["result"])])


def test_labels_of_a_made_project_are_those_of_the_file() -> None:
    made = label_config.parse(labeling_configs.with_labels([AWKWARD, "cell"]))
    assert {control.labels for control in made.controls} == {(AWKWARD, "cell")}
    assert label_config.missing(labeling_configs.with_labels([AWKWARD])) == []


def test_images_stay_where_label_studio_serves_them(tmp_path: Path) -> None:
    own = tmp_path / "microscopy"
    settings = ImageSettings(host_root=tmp_path / "served", user=str(own))
    public = LabelStudioSettings(public_url="https://example.com/label-studio")
    deployed = Deployment(config_dir=tmp_path, images=settings, label_studio=public, described=True)
    place = places.of(own / "2024", deployed)
    assert isinstance(place, places.Served)
    picture = pictures.Picture("a b/1#.jpg", own / "2024" / "a b" / "1#.jpg", (1, 1), 1)
    assert (str(place.inside), place.key(picture)) == ("/data/images/user/2024", "user/2024/a b/1#.jpg")
    for address in (
        "/label-studio/data/local-files/?d=user/2024/a%20b/1%23.jpg",
        "http://localhost:8080/data/local-files/?d=user%2F2024%2Fa+b%2F1%23.jpg",
    ):
        assert place.key_of(address) == place.key(picture)
    assert place.key_of("/data/upload/3/0123abcd-x.jpg") == ""
    assert isinstance(places.of(tmp_path / "else", deployed), places.Uploads)
    assert isinstance(places.of(own, Deployment(config_dir=tmp_path, images=settings)), places.Uploads)


def test_batches_are_neither_too_many_nor_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "BATCH", 3)
    monkeypatch.setattr(places, "BATCH_BYTES", 10)
    sized = [pictures.Picture(str(size), Path("x"), (1, 1), size) for size in (1, 1, 1, 1, 11, 5, 5, 1)]
    assert [[each.bytes for each in batch] for batch in places.batches(sized)] == [[1, 1, 1], [1], [11], [5, 5], [1]]
