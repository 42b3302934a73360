"""SAM 2's mask decoder, re-expressed exactly on tokens in Morton order, with the work per image taken out of the click.

The first layer's projections of the image do not depend on the prompt: `ImageProjections` computes them once. A mask
prompt replaces the image tokens: `MaskPrompt` makes the new ones, and the projections are computed again. The later
layers need no projection of the image at all (`attention.py`). The transposed convolutions are linear maps, because the
four pixels of a token are its four children in Morton order. Output masks are in Morton order too; `morton.py` puts
them back.

On a GPU all of it computes in float32, whatever the encoder does: it is a hundredth of an encode.

Shapes: g = S / 16 is the embedding grid, N = g² its tokens, T prompt tokens.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam.transformer import TwoWayAttentionBlock
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from sam2_backend.engine.attention import ImageToTokens, TokensToImage, TokensToTokens
from sam2_backend.engine.fused import Gelu, ResidualNorm
from sam2_backend.engine.morton import raster_index


class ImageProjections(nn.Module):
    """Image tokens (N, 256) to the first layer's keys, values and queries of the image, (N, 128) each."""

    def __init__(self, model: SAM2Base) -> None:
        super().__init__()
        layer = model.sam_mask_decoder.transformer.layers[0]
        no_mask, position = model.sam_prompt_encoder.no_mask_embed.weight.data, dense_position(model)
        to_image, from_image = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self.key = Projection(to_image.k_proj, no_mask + position)
        self.value = Projection(to_image.v_proj, no_mask)
        self.query = Projection(from_image.q_proj, no_mask + position)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.key(image), self.value(image), self.query(image)


class MaskPrompt(nn.Module):
    """Image tokens (N, 256) and previous mask logits in Morton order (N, 16) to the image tokens that hold that mask.

    The decoder's constants add `no_mask_embed` to every image; here it is taken off again in the last bias.
    """

    def __init__(self, model: SAM2Base) -> None:
        super().__init__()
        first, norm1, activation, second, norm2, _, last = model.sam_prompt_encoder.mask_downscaling
        self.activation = activation
        self.first, self.second, self.last = _gathering(first), _gathering(second), _gathering(last)
        self.norm1, self.norm2 = _layer_norm(norm1), _layer_norm(norm2)
        self.last.bias.data -= model.sam_prompt_encoder.no_mask_embed.weight.data[0]

    def forward(self, image: Tensor, logits: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.first(logits.reshape(-1, 4))))
        x = self.activation(self.norm2(self.second(x.reshape(-1, self.second.in_features))))
        refined: Tensor = image + self.last(x)
        return refined


class MaskDecoder(nn.Module):
    """An embedding, its projections and prompt tokens (1, T, 256) to four masks and their predicted IoU.

    Returns logits (4, 16 N) in Morton order, the single-mask output first, and scores (1, 4).
    """

    def __init__(self, model: SAM2Base) -> None:
        super().__init__()
        decoder = model.sam_mask_decoder
        transformer = decoder.transformer
        self.first = FirstLayer(transformer.layers[0], model.sam_prompt_encoder.no_mask_embed.weight.data[0])
        self.later = nn.ModuleList(map(LaterLayer, transformer.layers[1:]))
        self.final = TokensToImage(transformer.final_attn_token_to_image)
        self.norm = _norm(transformer.norm_final_attn)
        self.position: Tensor
        self.register_buffer("position", dense_position(model))

        learned = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            learned.insert(0, decoder.obj_score_token.weight)
        self.learned: Tensor
        self.register_buffer("learned", torch.cat(learned).detach().clone())
        # The rows that anything is read from: predicted IoU, then the masks.
        self.answers = slice(len(learned) - 2, len(self.learned))

        up1, norm, _, up2, _ = decoder.output_upscaling
        self.up1, self.up2, self.up_norm = _scattering(up1), _scattering(up2), _norm(_layer_norm(norm))
        self.activation = Gelu()
        self.hyper = Hypernetworks(decoder.output_hypernetworks_mlps)
        self.scores = decoder.iou_prediction_head

    def forward(
        self,
        high_res_0: Tensor,
        high_res_1: Tensor,
        image: Tensor,
        keys: Tensor,
        values: Tensor,
        queries: Tensor,
        prompt: Tensor,
        absent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """absent: (T,), minus infinity for prompt tokens that only fill a fixed length, 0 for the others."""
        prompt = torch.cat([self.learned, prompt[0]])
        if absent is not None:
            absent = pad(absent, (len(self.learned), 0))
        tokens, image = self.first(prompt, image, keys, values, queries, absent)
        for layer in self.later:
            tokens, image = layer(tokens, image, prompt, image + self.position, absent)
        tokens, prompt = tokens[self.answers], prompt[self.answers]
        _, tokens = self.norm(tokens, self.final(tokens + prompt, image + self.position, image))

        _, x = self.up_norm(high_res_1, self.up1(image).reshape(high_res_1.shape))
        x = self.activation(x)
        x = self.activation(self.up2(x).reshape(high_res_0.shape) + high_res_0)
        return self.hyper(tokens[1:]) @ x.transpose(0, 1), self.scores(tokens[:1])


class Layer(nn.Module):
    """What the two-way blocks share."""

    def __init__(self, layer: TwoWayAttentionBlock) -> None:
        super().__init__()
        self.to_tokens = TokensToTokens(layer.self_attn)
        self.to_image = TokensToImage(layer.cross_attn_token_to_image)
        self.from_image = ImageToTokens(layer.cross_attn_image_to_token)
        self.mlp = layer.mlp
        self.norm1, self.norm2, self.norm3, self.norm4 = map(
            _norm, (layer.norm1, layer.norm2, layer.norm3, layer.norm4)
        )


class FirstLayer(Layer):
    """The first two-way block: the image's side of it was projected beforehand."""

    def __init__(self, layer: TwoWayAttentionBlock, no_mask: Tensor) -> None:
        super().__init__(layer)
        self.no_mask: Tensor
        self.register_buffer("no_mask", no_mask.clone())

    def forward(
        self, prompt: Tensor, image: Tensor, keys: Tensor, values: Tensor, queries: Tensor, absent: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        _, tokens = self.norm1(self.to_tokens(prompt, prompt, prompt, absent))
        _, tokens = self.norm2(tokens, self.to_image.projected(tokens + prompt, keys, values))
        _, tokens = self.norm3(tokens, self.mlp(tokens))
        seen = self.from_image.projected(queries, tokens + prompt, tokens, absent) + self.no_mask
        return tokens, self.norm4(image, seen)[1]


class LaterLayer(Layer):
    """A two-way block whose image tokens depend on the prompt. placed: they and their position encoding, added up."""

    def forward(
        self, tokens: Tensor, image: Tensor, prompt: Tensor, placed: Tensor, absent: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        query = tokens + prompt
        _, tokens = self.norm1(tokens, self.to_tokens(query, query, tokens, absent))
        _, tokens = self.norm2(tokens, self.to_image(tokens + prompt, placed, image))
        _, tokens = self.norm3(tokens, self.mlp(tokens))
        return tokens, self.norm4(image, self.from_image(placed, tokens + prompt, tokens, absent))[1]


class Hypernetworks(nn.Module):
    """One small network for each mask token, (M, 256) to (M, 32), all of them layer by layer."""

    def __init__(self, networks: nn.ModuleList) -> None:
        super().__init__()
        layers = zip(*(network.layers for network in networks), strict=True)
        stacked = [
            (torch.stack([own.weight.data.T for own in layer]), torch.stack([own.bias.data[None] for own in layer]))
            for layer in layers
        ]
        self.weights = nn.ParameterList([weight for weight, _ in stacked])
        self.biases = nn.ParameterList([bias for _, bias in stacked])

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens[:, None]
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x.relu() if number else x, weight)
        return x[:, 0]


class Projection(nn.Module):
    """layer(x + addend) for a constant addend: one product and one addition."""

    def __init__(self, layer: nn.Linear, addend: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.data.clone())
        self.constant: Tensor
        self.register_buffer("constant", linear(addend, layer.weight.data, layer.bias.data))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight) + self.constant


def dense_position(model: SAM2Base) -> Tensor:
    """The position encoding of the embedding grid, (N, 256) in Morton order."""
    encoding = model.sam_prompt_encoder.get_dense_pe()[0].flatten(1).transpose(0, 1)
    ordered: Tensor = encoding[torch.from_numpy(raster_index(model.image_size // 16))]
    return ordered


def _gathering(convolution: nn.Conv2d) -> nn.Linear:
    """A convolution whose stride is its kernel size (2 or 1), on rows that hold a token's children in a row."""
    weight = convolution.weight.data.permute(0, 2, 3, 1).flatten(1)
    return _linear(weight, convolution.bias)


def _scattering(convolution: nn.ConvTranspose2d) -> nn.Linear:
    """A transposed 2x2 convolution of stride 2, giving a token's four children in a row."""
    weight = convolution.weight.data.permute(2, 3, 1, 0).flatten(0, 2)
    assert convolution.bias is not None
    return _linear(weight, convolution.bias.data.repeat(4))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    assert bias is not None
    layer.weight.data, layer.bias.data = weight.contiguous().clone(), bias.data.clone()
    return layer


def _norm(norm: nn.LayerNorm) -> ResidualNorm:
    return ResidualNorm(norm, summed=False)


def _layer_norm(norm: LayerNorm2d) -> nn.LayerNorm:
    """SAM 2's LayerNorm2d on tokens."""
    result = nn.LayerNorm(norm.weight.shape[0], eps=norm.eps)
    result.weight.data, result.bias.data = norm.weight.data.clone(), norm.bias.data.clone()
    return result
