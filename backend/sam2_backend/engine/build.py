"""The PyTorch model of a config and a checkpoint, as `sam2.build_sam.build_sam2` makes it, with fuller errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from yaml import YAMLError

from sam2_backend.engine.errors import CheckpointError, UnsupportedModel
from sam2_backend.engine.prompt_encoder import PromptEncoder

# What build_sam2 overrides when apply_postprocessing is true, its default.
_SINGLE_MASK = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def build_model(config: Path, checkpoint: Path | None) -> SAM2Base:
    """The model in float32 on the CPU, in eval mode; with random weights if there is no checkpoint.

    Raises UnsupportedModel for a config that is no SAM 2 model, CheckpointError for a checkpoint that cannot be used.
    """
    try:
        described = OmegaConf.load(config)
        OmegaConf.resolve(described)
        OmegaConf.update(described, "model.sam_mask_decoder_extra_args", _SINGLE_MASK, force_add=True)
        model = instantiate(described.model, _recursive_=True)
    except (OSError, OmegaConfBaseException, HydraException, YAMLError) as error:
        raise UnsupportedModel(f"{config} is not a SAM 2 config: {error}") from error
    if not isinstance(model, SAM2Base):
        raise UnsupportedModel(f"{config} describes a {type(model).__name__}, not a SAM2Base")
    if checkpoint is not None:
        _load(model, config, checkpoint)
    return model.float().eval().requires_grad_(False)


def load_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The `model` entry of a SAM 2 checkpoint. Raises CheckpointError."""
    if not checkpoint.is_file():
        raise CheckpointError(
            f"no checkpoint at {checkpoint}; put it there, or fetch an official one with:"
            f" python -m sam2_backend.model fetch tiny --dir {checkpoint.parent}"
        )
    size = checkpoint.stat().st_size
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # PyTorch's words for it advise to load it unsafely
        raise CheckpointError(f"{checkpoint} ({size:,} bytes) is not a PyTorch checkpoint; fetch it again") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{checkpoint} ({size:,} bytes) is truncated or not a PyTorch checkpoint ({reason[:160]}); fetch it again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CheckpointError(f"{checkpoint} is a PyTorch file but not a SAM 2 checkpoint: it has no 'model' entry")
    weights: dict[str, Tensor] = content["model"]
    return weights


def _load(model: SAM2Base, config: Path, checkpoint: Path) -> None:
    weights = load_weights(checkpoint)
    wanted = model.state_dict()
    missing, unexpected = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    reshaped = sorted(key for key in wanted.keys() & weights.keys() if wanted[key].shape != weights[key].shape)
    if missing or unexpected or reshaped:
        raise CheckpointError(
            f"{checkpoint} does not fit {config.name}: {_some('missing', missing)}, {_some('unexpected', unexpected)},"
            f" {_some('of another shape', reshaped)}. {_advice(weights)}"
        )
    model.load_state_dict(weights)


def _some(what: str, keys: list[str]) -> str:
    return f"{len(keys)} keys {what}" + (f" (such as {keys[0]})" if keys else "")


def _advice(weights: dict[str, Tensor]) -> str:
    config = guess_config(weights)
    if config is None:
        return "It fits none of the official SAM 2 configs"
    return f"Its weights fit {config}: set MODEL_CONFIG to that, or use another checkpoint"


def guess_config(weights: dict[str, Tensor]) -> str | None:
    """The official config whose trunk has this width and depth, or None."""
    first = weights.get("image_encoder.trunk.patch_embed.proj.weight")
    depth = len({key.split(".")[3] for key in weights if key.startswith("image_encoder.trunk.blocks.")})
    size = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}.get(
        (len(first) if first is not None else 0, depth)
    )
    if size is None:
        return None
    generation = "sam2.1" if "no_obj_embed_spatial" in weights else "sam2"
    return f"configs/{generation}/{generation}_hiera_{size}.yaml"


def prompt_encoder(model: SAM2Base) -> PromptEncoder:
    """The model's prompt encoder for the host."""
    encoder, decoder = model.sam_prompt_encoder, model.sam_mask_decoder
    embeddings = [encoder.not_a_point_embed, *encoder.point_embeddings]
    stability = (decoder.dynamic_multimask_stability_delta, decoder.dynamic_multimask_stability_thresh)
    return PromptEncoder(
        image_size=model.image_size,
        frequencies=encoder.pe_layer.positional_encoding_gaussian_matrix.cpu().numpy(),
        labels=torch.cat([embedding.weight.detach().cpu() for embedding in embeddings]).numpy(),
        stability=stability if decoder.dynamic_multimask_via_stability else None,
    )
