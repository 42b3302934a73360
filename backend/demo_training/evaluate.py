"""Measure the demo model on drawings it has never seen.

python -m demo_training.evaluate --drawings 200
python -m demo_training.evaluate --drawings 60 --scene 768x1024
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn import functional

from demo_training import drawings, network

UNSEEN = 20_000  # first word of the seed; training's is 0, so the two streams never meet
ROUNDS = 3
BATCH = 20


@dataclass(frozen=True)
class Score:
    """IoU against the drawn object, at the drawing's own size."""

    mean: float
    median: float
    above_80: float  # share of prompts whose IoU is at least 0.8

    def __str__(self) -> str:
        return f"mean {self.mean:.3f}  median {self.median:.3f}  IoU>=0.8 {self.above_80:.1%}"


@dataclass(frozen=True)
class Scores:
    """What each way of prompting reaches."""

    click: Score  # best of three masks by predicted IoU
    box: Score  # single mask
    clicks: Score  # single mask after three clicks, each correcting the last

    def __str__(self) -> str:
        return f"one click  {self.click}\nbox        {self.box}\n3 clicks   {self.clicks}"


@dataclass(frozen=True)
class Cases:
    """Unseen drawings and one object in each; prompts are in model pixels."""

    images: NDArray[np.uint8]  # (n, s, s, 3), at the model's size
    truths: Tensor  # (n, h, w) bool, at the drawing's size
    clicks: Tensor  # (n, 1, 2)
    boxes: Tensor  # (n, 2, 2), top left then bottom right


@torch.inference_mode()
def evaluate(
    model: SAM2Base,
    count: int = 200,
    scene: tuple[int, int] | None = None,
    difficulty: drawings.Difficulty = drawings.FULL,
    seed: int = UNSEEN,
) -> Scores:
    """Prompt one object in each of ``count`` unseen drawings and score the masks.

    ``scene`` is the (height, width) to draw at, by default the model's own size; the drawing is
    resized to the model's square and the masks back, as the image predictor does.
    """
    side = model.image_size
    scene = scene or (side, side)
    rng = np.random.default_rng((seed, *scene))
    training = model.training
    model.eval()
    results: list[list[Tensor]] = [[], [], []]
    done = 0
    while done < count:
        cases = _cases(rng, min(BATCH, count - done), scene, side, difficulty)
        features = network.image_features(model, network.to_pixels(cases.images))
        masks = (
            _one_click(model, features, cases.clicks),
            _box(model, features, cases.boxes),
            _corrected(model, features, cases.clicks, cases.truths),
        )
        for kept, logits in zip(results, masks, strict=True):
            full = functional.interpolate(logits[:, None], scene, mode="bilinear", align_corners=False)
            kept.append(network.overlap(full[:, 0] > 0, cases.truths))
        done += len(cases.images)
    model.train(training)
    return Scores(*(_summary(torch.cat(kept)) for kept in results))


def _cases(
    rng: np.random.Generator,
    count: int,
    scene: tuple[int, int],
    side: int,
    difficulty: drawings.Difficulty,
) -> Cases:
    """Draw ``count`` scenes, choose an object in each and resize what the model sees."""
    images: list[NDArray[np.uint8]] = []
    truths, clicks, boxes = [], [], []
    to_model = np.array([side / scene[1], side / scene[0]], np.float32)
    while len(images) < count:
        drawing = drawings.draw(rng, scene, difficulty)
        found = drawings.targets(rng, drawing.labels, 1)
        if not found:
            continue
        image = Image.fromarray(drawing.image)
        if scene != (side, side):
            image = image.resize((side, side), Image.Resampling.BILINEAR)
        images.append(np.asarray(image))
        truths.append(drawing.labels == found[0].label)
        clicks.append((found[0].click * to_model)[None])
        boxes.append(found[0].box.reshape(2, 2) * to_model)
    return Cases(
        np.stack(images),
        torch.from_numpy(np.stack(truths)),
        torch.from_numpy(np.stack(clicks)),
        torch.from_numpy(np.stack(boxes)),
    )


def _one_click(model: SAM2Base, features: list[Tensor], clicks: Tensor) -> Tensor:
    """Return the logits (n, h, w) of the mask that the model itself rates best of three."""
    labels = torch.full(clicks.shape[:2], network.FOREGROUND)
    logits, ious, _ = network.decode(model, features, clicks, labels, None)
    return logits[torch.arange(len(logits)), 1 + ious[:, 1:].argmax(1)]


def _box(model: SAM2Base, features: list[Tensor], boxes: Tensor) -> Tensor:
    labels = torch.tensor([[network.TOP_LEFT, network.BOTTOM_RIGHT]]).expand(len(boxes), 2)
    return network.decode(model, features, boxes, labels, None)[0][:, 0]


def _corrected(model: SAM2Base, features: list[Tensor], clicks: Tensor, truths: Tensor) -> Tensor:
    """Feed the last logits back with one more click where they are most wrong, twice."""
    points = clicks
    labels = torch.full(clicks.shape[:2], network.FOREGROUND, dtype=torch.int32)
    logits = _one_click(model, features, clicks)
    small = functional.interpolate(truths[:, None].float(), logits.shape[-2:], mode="area")[:, 0]
    for _ in range(ROUNDS - 1):
        point, label = network.corrective_click(logits, small)
        points, labels = torch.cat([points, point], 1), torch.cat([labels, label], 1)
        logits = network.decode(model, features, points, labels, logits[:, None])[0][:, 0]
    return logits


def _summary(ious: Tensor) -> Score:
    return Score(ious.mean().item(), ious.median().item(), (ious >= 0.8).float().mean().item())


def main() -> None:
    """Print the scores of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=network.CHECKPOINT)
    parser.add_argument("--drawings", type=int, default=200)
    parser.add_argument("--size", type=int, help="model image size, by default the config's")
    parser.add_argument("--easy", action="store_true", help="two or three large shapes, as the quick start's")
    parser.add_argument("--scene", help="HEIGHTxWIDTH to draw at, by default the model's size")
    options = parser.parse_args()
    height, width = map(int, options.scene.split("x")) if options.scene else (0, 0)
    torch.manual_seed(0)
    model = network.load(options.checkpoint, options.size)
    difficulty = drawings.EASY if options.easy else drawings.FULL
    scores = evaluate(model, options.drawings, (height, width) if options.scene else None, difficulty)
    sys.stdout.write(f"{scores}\n")


if __name__ == "__main__":
    main()
