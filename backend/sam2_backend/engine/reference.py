"""The fp32 reference: `sam2`'s own modules in eager PyTorch, used as SAM2ImagePredictor uses them, without torchvision.

Every other engine is measured against this one, in tests and at start-up. It is not made to be fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn.functional import interpolate

from sam2_backend.engine.interface import Decoded, EngineInfo, HostEmbedding, Prepared, Prompt
from sam2_backend.engine.morton import morton_index, raster_index
from sam2_backend.engine.pixels import MEAN, SPREAD, check_image
from sam2_backend.engine.prompt_encoder import LOGIT_BOUND


@dataclass(frozen=True, slots=True)
class Features:
    """SAM2ImagePredictor's features, float32, finest first: (1, 32, 4g, 4g), (1, 64, 2g, 2g), (1, 256, g, g)."""

    maps: tuple[Tensor, Tensor, Tensor]

    @property
    def nbytes(self) -> int:
        return sum(level.nbytes for level in self.maps)


class ReferenceEngine:
    """An Engine on the CPU (or another torch device) in float32."""

    def __init__(self, model: SAM2Base, *, name: str = "", fingerprint: str = "reference") -> None:
        self._model = model
        self._info = EngineInfo("reference", str(model.device), "f32", name, model.image_size, fingerprint)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @torch.inference_mode()
    def encode(self, image: NDArray[np.uint8]) -> Features:
        check_image(image)
        model, size = self._model, self._model.image_size
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(model.device).permute(2, 0, 1)[None].float() / 255
        pixels = interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        mean, spread = (torch.from_numpy(values).to(model.device)[:, None, None] for values in (MEAN, SPREAD))
        backbone = model.forward_image((pixels - mean) / spread)
        _, levels, _, sizes = model._prepare_backbone_features(backbone)
        if model.directly_add_no_mem_embed:
            levels[-1] = levels[-1] + model.no_mem_embed
        fine, middle, coarse = (
            level.permute(1, 2, 0).reshape(1, -1, *shape) for level, shape in zip(levels, sizes, strict=True)
        )
        return Features((fine, middle, coarse))

    def export(self, prepared: Prepared) -> HostEmbedding:
        assert isinstance(prepared, Features)
        fine, middle, coarse = (
            level[0].flatten(1).T.cpu().numpy().astype(np.float16)[raster_index(level.shape[-1])]
            for level in prepared.maps
        )
        return HostEmbedding(fine, middle, coarse)

    def restore(self, embedding: HostEmbedding) -> Features:
        def level(tokens: NDArray[np.float16]) -> Tensor:
            side = int(len(tokens) ** 0.5)
            raster = tokens[morton_index(side)].astype(np.float32)
            return torch.from_numpy(raster).T.reshape(1, -1, side, side).contiguous().to(self._model.device)

        return Features((level(embedding.high_res_0), level(embedding.high_res_1), level(embedding.image)))

    def decode(self, prepared: Prepared, prompt: Prompt) -> Decoded:
        return self._decode(prepared, prompt, multimask=prompt.multimask)

    def candidates(self, prepared: Prepared, prompt: Prompt) -> Decoded:
        """All four masks of the decoder, the single-mask output first."""
        return self._decode(prepared, prompt, multimask=None)

    @torch.inference_mode()
    def _decode(self, prepared: Prepared, prompt: Prompt, multimask: bool | None) -> Decoded:
        assert isinstance(prepared, Features)
        model = self._model
        points = torch.from_numpy(prompt.points).to(model.device)[None] * model.image_size
        labels = torch.from_numpy(prompt.labels).to(model.device)[None]
        masks = None
        if prompt.logits is not None:
            masks = torch.from_numpy(prompt.logits).to(model.device)[None, None].clamp(-LOGIT_BOUND, LOGIT_BOUND)
        sparse, dense = model.sam_prompt_encoder(points=(points, labels), boxes=None, masks=masks)
        inputs = {
            "image_embeddings": prepared.maps[2],
            "image_pe": model.sam_prompt_encoder.get_dense_pe(),
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
            "repeat_image": False,
            "high_res_features": list(prepared.maps[:2]),
        }
        if multimask is None:
            logits, scores, _, _ = model.sam_mask_decoder.predict_masks(**inputs)
        else:
            logits, scores, _, _ = model.sam_mask_decoder(multimask_output=multimask, **inputs)
        return Decoded(logits[0].float().cpu().numpy(), scores[0].float().cpu().numpy())
