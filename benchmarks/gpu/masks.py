"""Whether the masks are right: each size and precision against float32 on the CPU, 15 prompts of every kind."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from rounding import WANTED, compare, right_masks
from sam2_backend.engine.errors import SelfCheckFailed
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import Golden, cases, check, compute_golden, confident_iou, drawn_image
from sam2_backend.engine.torch_engine import TorchEngine

from benchmarks.gpu.common import Table, device_of, make_model


def run(asked: Namespace) -> None:
    columns = ("model", "precision", "masks", "mean IoU", "lowest IoU", "lowest, sure pixels", "self-check")
    table = Table(asked, "masks", columns)
    wrong = []
    for size in asked.sizes:
        model = make_model(size)
        reference = ReferenceEngine(model)
        right, golden = right_masks(reference), compute_golden(reference)
        for precision in ("bf16",) if asked.quick else ("bf16", "f16", "f32"):
            engine = TorchEngine(model, device_of(asked), precision=precision, batch=4)
            whole, certain = compare(right, engine)
            sure = min(certain)
            table.row(size, precision, len(whole), float(np.mean(whole)), min(whole), sure, _verdict(engine, golden))
            if sure < WANTED:
                wrong.append(f"{size} in {precision}: {sure:.4f}")
            _same_in_a_batch(engine)
    if wrong:
        raise AssertionError(f"sure pixels differ from float32: {', '.join(wrong)}; expected at least {WANTED}")


def _same_in_a_batch(engine: TorchEngine) -> None:
    """The masks of an image that was encoded with others are those of the image alone, up to the order of sums."""
    image = drawn_image()
    alone = engine.encode(image)
    others = [engine.pixels(np.ascontiguousarray(np.roll(image, 40 * turn, 1))) for turn in range(1, engine.batch)]
    together = engine.encode_batch([*others, engine.pixels(image)])
    for _, prompt in cases(None)[:3]:
        expected, found = engine.candidates(alone, prompt), engine.candidates(together[-1], prompt)  # type: ignore[arg-type]
        for ours, theirs in zip(found.logits, expected.logits, strict=True):
            assert confident_iou(ours, theirs) >= WANTED, "an image of a batch has other masks than alone"


def _verdict(engine: TorchEngine, golden: Golden) -> str:
    try:
        check(engine, golden)
    except SelfCheckFailed as error:
        return f"refused: {error}"
    return "passed"
