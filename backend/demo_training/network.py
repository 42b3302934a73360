"""Build the demo model and run it the way the image predictor does, batched over drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.demo import CHECKPOINT, CONFIG
from torch import Tensor
from torch.nn import functional

# Point labels of SAM 2's prompt encoder.
BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3
STRIDE = 4  # image pixels per mask logit
AIM_GAIN = 2.5  # makes the attention of an untrained prompt about a tenth of the image wide

MEAN = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
SPREAD = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)


def build(image_size: int | None = None) -> SAM2Base:
    """Instantiate the model with random weights; ``image_size`` overrides the config's (pixels)."""
    config = OmegaConf.load(CONFIG)
    if image_size is not None:
        config.model.image_size = image_size
    return instantiate(config.model, _recursive_=True)


@torch.no_grad()
def aim_attention(model: SAM2Base) -> None:
    """Make untrained prompt tokens look where they point.

    Image cells and prompts carry the same position encoding, so where a key projection equals
    the query projection, their product is largest at the prompt itself. From unrelated random
    projections the decoder takes thousands of steps to find that out.
    """
    decoder = model.sam_mask_decoder.transformer
    attentions = [decoder.final_attn_token_to_image]
    for layer in decoder.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        attention.q_proj.weight.mul_(AIM_GAIN)
        attention.k_proj.weight.copy_(attention.q_proj.weight)


def load(checkpoint: Path = CHECKPOINT, image_size: int | None = None) -> SAM2Base:
    """Return the trained model in fp32, ready for inference."""
    model = build(image_size)
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    return model.float().eval()


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 drawings (n, h, w, 3) into normalised floats (n, 3, h, w)."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / SPREAD


def image_features(model: SAM2Base, pixels: Tensor) -> list[Tensor]:
    """Encode (n, 3, s, s) into features at strides 4, 8 and 16, finest first."""
    backbone = model.forward_image(pixels)
    _, flat, _, sizes = model._prepare_backbone_features(backbone)
    flat[-1] = flat[-1] + model.no_mem_embed
    return [level.permute(1, 2, 0).reshape(len(pixels), -1, *size) for level, size in zip(flat, sizes, strict=True)]


def decode(
    model: SAM2Base, features: list[Tensor], points: Tensor, labels: Tensor, logits: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode one prompt per row: ``points`` (b, p, 2) in model pixels, ``labels`` (b, p).

    ``logits`` (b, 1, s/4, s/4) are those of an earlier round, or None. A box is its two corners.
    Returns all four mask logits (b, 4, s/4, s/4), the single-mask output first, the predicted
    IoUs (b, 4) and the object score logits (b, 1).
    """
    sparse, dense = model.sam_prompt_encoder(points=(points, labels), boxes=None, masks=logits)
    masks, ious, _, scores = model.sam_mask_decoder.predict_masks(
        image_embeddings=features[-1],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=features[:-1],
    )
    return masks, ious, scores


def corrective_click(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Click where one mask is most wrong: ``logits`` (b, h, w) against ``truth`` (b, h, w) 0/1.

    The deepest part of the error wins, at random among equals. Returns the point (b, 1, 2) in
    model pixels and its label (b, 1): foreground where the mask misses, background where it spills.
    """
    wrong = ((logits > 0) != (truth > 0.5)).float()[:, None]
    depth = torch.stack([functional.avg_pool2d(wrong, k, 1, k // 2) for k in (3, 5, 9)]).sum(0)
    at = ((depth * wrong)[:, 0] + 0.2 * torch.rand_like(truth)).flatten(1).argmax(1, keepdim=True)
    width = logits.shape[-1]
    cell = torch.stack([at % width, at // width], -1)
    label = (truth.flatten(1).gather(1, at) > 0.5).int()
    return (cell + 0.5) * STRIDE - 0.5, label


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boolean masks over their last two axes."""
    both = (first & second).flatten(-2).sum(-1)
    either = (first | second).flatten(-2).sum(-1)
    return both / either.clamp(min=1)
