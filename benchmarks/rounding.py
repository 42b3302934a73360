"""What half precision or int8 does to the masks: ours against fp32, whole masks and sure pixels.

    python benchmarks/rounding.py --configs configs/sam2.1/sam2.1_hiera_t.yaml
    python benchmarks/rounding.py --precision int8

A CPU that multiplies bfloat16 computes encoder and decoder in it, as they are served; on another one PyTorch does so
for the encoder alone, slowly. With random weights, as here without `--checkpoint`, logits are near zero all over the
image, the worst case. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import serving  # noqa: F401 - lets `running` be found
import torch
from numpy.typing import NDArray
from running import iou
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine import load_engine
from sam2_backend.engine.build import build_model
from sam2_backend.engine.interface import Prompt
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.select import config_path, cpu_multiplies_bf16
from sam2_backend.engine.selfcheck import cases, confident_iou, drawn_image
from sam2_backend.engine.token_engine import TokenEngine
from sam2_backend.engine.torch_engine import TorchEngine

OFFICIAL = [f"configs/sam2.1/sam2.1_hiera_{size}.yaml" for size in ("t", "s", "b+", "l")]
WANTED = 0.995


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=OFFICIAL)
    parser.add_argument("--checkpoint", type=Path, help="of the one config; without it the weights are random")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "f16", "int8"])
    asked = parser.parse_args()
    print(f"| model | masks | lowest IoU | under {WANTED} | lowest IoU of sure pixels |\n|---|---|---|---|---|")
    for config in asked.configs:
        torch.manual_seed(0)
        model = build_model(config_path(config), asked.checkpoint)
        whole, sure = compare(right_masks(ReferenceEngine(model)), rounding(model, config, asked.precision))
        low = sum(value < WANTED for value in whole)
        print(f"| {Path(config).stem} | {len(whole)} | {min(whole):.4f} | {low} | {min(sure):.4f} |", flush=True)


def rounding(model: SAM2Base, config: str, precision: str) -> TokenEngine:
    if precision == "f16" or (precision == "bf16" and not cpu_multiplies_bf16()):
        return TorchEngine(model, torch.device("cpu"), precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "model.pt"
        torch.save({"model": model.state_dict()}, checkpoint)
        engine = load_engine(config, checkpoint, device="cpu", precision=precision, cache_dir=Path(folder))
        assert isinstance(engine, TokenEngine)
        return engine


def right_masks(reference: ReferenceEngine) -> list[tuple[Prompt, NDArray[np.float32]]]:
    """Every kind of prompt on a drawing, with the logits of its four masks."""
    exact = reference.encode(drawn_image())
    prior = reference.candidates(exact, cases(None)[0][1]).logits[1]
    return [(prompt, reference.candidates(exact, prompt).logits) for _, prompt in cases(prior)]


def compare(right: list[tuple[Prompt, NDArray[np.float32]]], engine: TokenEngine) -> tuple[list[float], list[float]]:
    """IoU of all masks of every kind of prompt: of the whole masks, and of the pixels that are not near an outline."""
    rounded = engine.encode(drawn_image())
    whole, sure = [], []
    for prompt, logits in right:
        for ours, theirs in zip(engine.candidates(rounded, prompt).logits, logits, strict=True):
            whole.append(iou(ours > 0, theirs > 0))
            sure.append(confident_iou(ours, theirs))
    return whole, sure


if __name__ == "__main__":
    main()
