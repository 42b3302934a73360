from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samstudio import samples
from samstudio.errors import SamstudioError


def test_they_are_drawn_once_and_mended(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    names = [scene.file for scene in samples.SCENES]
    assert samples.draw(folder, check=True) == [*names, samples.MANIFEST]
    assert not folder.exists()
    samples.draw(folder)
    assert samples.draw(folder) == []
    (folder / names[1]).write_bytes(b"half an ima")
    assert samples.draw(folder) == [names[1]]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_the_manifest_gives_the_masks_back(tmp_path: Path) -> None:
    samples.draw(tmp_path)
    assert samples.load(tmp_path) == samples.SCENES


@pytest.mark.parametrize("scene", samples.SCENES, ids=lambda scene: scene.file)
def test_masks_are_what_is_drawn(scene: samples.Scene) -> None:
    pixels = np.asarray(samples.render(scene), dtype=np.int16)
    assert pixels.shape == (samples.HEIGHT, samples.WIDTH, 3)
    masks = [samples.mask(shape) for shape in scene.shapes]
    assert np.sum(masks, axis=0).max() == 1, "shapes overlap"
    for shape, mask in zip(scene.shapes, masks, strict=True):
        x, y = shape.click
        assert mask[y - 20 : y + 21, x - 20 : x + 21].all(), "the click is at the edge"
        assert mask.sum() > 20_000
        assert np.abs(pixels[mask] - shape.colour).max() <= scene.noise
        assert np.abs(pixels[~mask] - shape.colour).max(axis=-1).min() > scene.noise, "the background looks like it"


def test_iou() -> None:
    one = np.array([[True, True, False]])
    assert samples.iou(one, one) == 1.0
    assert samples.iou(one, np.array([[False, True, True]])) == pytest.approx(1 / 3)
    assert samples.iou(one, ~one) == 0.0


def test_without_samples_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(SamstudioError) as raised:
        samples.load(tmp_path)
    assert raised.value.command == f"samstudio samples draw --dir {tmp_path}"
    Image.new("RGB", (1, 1)).save(tmp_path / "sample-1.png")
    (tmp_path / samples.MANIFEST).write_text('{"images": [{}]}')
    with pytest.raises(SamstudioError, match="understood"):
        samples.load(tmp_path)
