r"""Train the demo model from scratch on drawings.

One call is one stage; later stages resume from the state the earlier one left:

    python -m demo_training.train_demo --stage 1 --size 128 --minutes 12 --easy
    python -m demo_training.train_demo --stage 2 --size 256 --minutes 30 --resume \
        --best-of-three --corrections 0.5

The state file keeps weights, their moving average and the optimiser; the checkpoint keeps the
average alone, in half precision. Where the state file is gone, `--start` goes on from a checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from demo_training import drawings, network
from demo_training.evaluate import evaluate

LOG = logging.getLogger(__name__)

AVERAGE_DECAY = 0.997
RAMP = 30_000  # drawings until --easy has faded into the full difficulty


@dataclass(frozen=True)
class Batch:
    """Drawings (n, s, s, 3) uint8 and, per drawing, k prompted objects, flattened to n * k."""

    images: NDArray[np.uint8]
    truths: Tensor  # (n * k, s, s) uint8
    clicks: Tensor  # (n * k, 1, 2) model pixels
    boxes: Tensor  # (n * k, 2, 2) model pixels, top left then bottom right


class Drawings(IterableDataset[Batch]):
    """An endless seeded stream of batches."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def __iter__(self) -> Iterator[Batch]:
        options = self.options
        rng = np.random.default_rng((0, options.stage, options.seed))
        drawn = 0
        while True:
            rows: list[tuple[drawings.Drawing, list[drawings.Target]]] = []
            while len(rows) < options.batch:
                hardness = min(1.0, drawn / RAMP) if options.easy else 1.0
                full = rng.random() < hardness
                scene = drawings.draw(rng, options.size, drawings.FULL if full else drawings.EASY)
                found = drawings.targets(rng, scene.labels, options.prompts)
                if found:
                    rows.append((scene, found))
                    drawn += 1
            yield Batch(
                np.stack([scene.image for scene, _ in rows]),
                _stack([(scene.labels == p.label).astype(np.uint8) for scene, ps in rows for p in ps]),
                _stack([p.click[None] for _, ps in rows for p in ps]),
                _stack([p.box.reshape(2, 2) for _, ps in rows for p in ps]),
            )


def _stack(arrays: Sequence[NDArray[np.generic]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def loss_of(logits: Tensor, ious: Tensor, scores: Tensor, truth: Tensor, best_of_three: bool) -> tuple[Tensor, Tensor]:
    """Return the loss and the IoUs (b, 4) at mask resolution.

    ``logits`` (b, 4, h, w), ``ious`` (b, 4), ``scores`` (b, 1), ``truth`` (b, h, w) coverage from
    0 to 1. The single-mask output always counts. The other three count alike until the prompt is
    understood; taking the best of three from the start teaches the masks to ignore it.
    """
    target = truth[:, None].expand_as(logits)
    crossed = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    soft = logits.sigmoid()
    shared = (soft * target).sum((2, 3))
    dice = 1 - (2 * shared + 1) / (soft.sum((2, 3)) + target.sum((2, 3)) + 1)
    per_mask = 3 * crossed + dice
    three = per_mask[:, 1:].mean(1)
    if best_of_three:
        three = 0.7 * per_mask[:, 1:].min(1).values + 0.3 * three
    reached = network.overlap(logits.detach() > 0, target > 0.5)
    rating = functional.mse_loss(ious, reached)
    present = functional.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))
    return (0.5 * per_mask[:, 0] + three).mean() + 0.5 * rating + 0.02 * present, reached


def train_step(
    model: SAM2Base, batch: Batch, options: argparse.Namespace, rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Run one batch, with corrective clicks in some; return the loss and the first mean IoU."""
    pixels = network.to_pixels(batch.images).contiguous(memory_format=torch.channels_last)
    features = network.image_features(model, pixels)
    repeats = len(batch.truths) // len(pixels)
    features = [level.repeat_interleave(repeats, 0) for level in features]
    truth = functional.interpolate(batch.truths[:, None].float(), scale_factor=1 / network.STRIDE, mode="area")
    truth = truth[:, 0]
    if rng.random() < options.boxes:
        points = batch.boxes
        labels = torch.tensor([[network.TOP_LEFT, network.BOTTOM_RIGHT]]).expand(len(points), 2)
    else:
        points = batch.clicks
        labels = torch.full(points.shape[:2], network.FOREGROUND)
    labels = labels.int()
    outcome = network.decode(model, features, points, labels, None)
    loss, reached = loss_of(*outcome, truth, options.best_of_three)
    if rng.random() < options.corrections:
        previous = outcome
        for _ in range(rng.integers(1, 3)):
            best = previous[1].argmax(1) if previous is outcome else torch.zeros(len(truth)).long()
            chosen = previous[0].detach()[torch.arange(len(truth)), best]
            point, label = network.corrective_click(chosen, truth)
            points, labels = torch.cat([points, point], 1), torch.cat([labels, label], 1)
            fed_back = chosen[:, None] if rng.random() < 0.8 else None
            previous = network.decode(model, features, points, labels, fed_back)
            loss = loss + 0.5 * loss_of(*previous, truth, options.best_of_three)[0]
    return loss, reached[:, 0].mean().item()


def learning_rate(step: int, progress: float, options: argparse.Namespace) -> float:
    """Warm up over the first steps, then follow a cosine over the stage's time (0 to 1)."""
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    low, high = float(options.final_lr), float(options.lr)
    warm = min(1.0, (step + 1) / int(options.warm_up))
    return warm * (low + (high - low) * fall)


def save_checkpoint(model: SAM2Base, path: Path) -> None:
    """Write the weights alone, floats halved."""
    halved = {
        name: value.half() if value.is_floating_point() else value.clone() for name, value in model.state_dict().items()
    }
    torch.save({"model": halved}, path)


def train(options: argparse.Namespace) -> SAM2Base:
    """Train one stage and return the averaged model."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng((1, options.stage, options.seed))
    model = network.build(options.size).to(memory_format=torch.channels_last).train()
    network.aim_attention(model)
    optimiser = torch.optim.AdamW(model.parameters(), options.lr, (0.9, 0.98), weight_decay=0.01)
    if options.start:
        model.load_state_dict(network.load(options.start).state_dict())
    average = copy.deepcopy(model).eval().requires_grad_(False)
    if options.resume:
        state = torch.load(options.state, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
    batches = iter(DataLoader(Drawings(options), batch_size=None, num_workers=1, prefetch_factor=6))
    trained = list(model.parameters())
    averaged = list(average.parameters())
    began = reported = saved = time.monotonic()
    recent: list[tuple[float, float]] = []
    step = 0
    while (elapsed := time.monotonic() - began) < options.minutes * 60:
        rate = learning_rate(step, elapsed / (options.minutes * 60), options)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, reached = train_step(model, next(batches), options, rng)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step += 1
        torch._foreach_lerp_(averaged, trained, 1 - min(AVERAGE_DECAY, step / (step + 10)))
        recent.append((loss.item(), reached))
        now = time.monotonic()
        if now - reported >= 20:
            mean_loss, mean_iou = np.mean(recent, 0)
            pace = len(recent) / (now - reported)
            LOG.info(
                "%5.1f min  step %d  %.2f/s  lr %.1e  loss %.3f  training IoU %.3f",
                elapsed / 60,
                step,
                pace,
                rate,
                mean_loss,
                mean_iou,
            )
            recent, reported = [], now
        if now - saved >= options.save_every * 60:
            save_state(model, average, optimiser, options)
            LOG.info("%s", evaluate(average, 60))
            saved = time.monotonic()
    save_state(model, average, optimiser, options)
    return average


def save_state(
    model: SAM2Base,
    average: SAM2Base,
    optimiser: torch.optim.Optimizer,
    options: argparse.Namespace,
) -> None:
    """Write everything needed to resume, and the checkpoint."""
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(state, options.state)
    save_checkpoint(average, options.checkpoint)


def main() -> None:
    """Train one stage from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", type=int, default=1, help="number that seeds the drawings")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--size", type=int, default=128, help="model image size in pixels")
    parser.add_argument("--batch", type=int, default=12, help="drawings per step")
    parser.add_argument("--prompts", type=int, default=4, help="prompts per drawing")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--final-lr", type=float, default=2e-5)
    parser.add_argument("--warm-up", type=int, default=150, help="steps to the full rate")
    parser.add_argument("--easy", action="store_true", help="begin with few, large shapes")
    parser.add_argument("--boxes", type=float, default=0.4, help="share of steps begun by a box")
    parser.add_argument("--corrections", type=float, default=0.0, help="share of corrected steps")
    parser.add_argument("--best-of-three", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start", type=Path, help="checkpoint to begin from, with an optimiser that knows nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes")
    parser.add_argument("--state", type=Path, default=Path("demo_state.pt"))
    parser.add_argument("--checkpoint", type=Path, default=Path("demo_checkpoint.pt"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    LOG.info("%s", evaluate(train(options), 200))


if __name__ == "__main__":
    main()
