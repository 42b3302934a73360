"""SAM 2's mask decoder, re-expressed exactly on tokens in Morton order, with the work per image taken out of the click.

The first layer's projections of the image do not depend on the prompt: `ImageProjections` computes them once. A mask
prompt replaces the image tokens: `MaskPrompt` makes the new ones, and the projections are computed again. Every other
projection of the position encoding is a constant. The transposed convolutions are linear maps, because the four pixels
of a token are its four children in Morton order. Output masks are in Morton order too; `morton.py` puts them back.

Shapes: g = S / 16 is the embedding grid, N = g² its tokens, T prompt tokens.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam.transformer import Attention, TwoWayAttentionBlock
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from sam2_backend.engine.morton import raster_index


class ImageProjections(nn.Module):
    """Image tokens (N, 256) to the first layer's keys, values and queries of the image, (8, N, 16) each."""

    def __init__(self, model: SAM2Base) -> None:
        super().__init__()
        layer = model.sam_mask_decoder.transformer.layers[0]
        encoder = model.sam_prompt_encoder
        no_mask, position = encoder.no_mask_embed.weight.data, dense_position(model)
        to_image, from_image = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self.heads = to_image.num_heads
        self.key = Projection(to_image.k_proj, no_mask + position)
        self.value = Projection(to_image.v_proj, no_mask)
        self.query = Projection(from_image.q_proj, no_mask + position)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys, values, queries = (
            _heads(projection(image), self.heads)[0] for projection in (self.key, self.value, self.query)
        )
        return keys, values, queries


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
        no_mask, position = model.sam_prompt_encoder.no_mask_embed.weight.data, dense_position(model)
        self.first = FirstLayer(transformer.layers[0], no_mask)
        self.later = nn.ModuleList(LaterLayer(layer, position) for layer in transformer.layers[1:])
        self.final = TokenToImage(transformer.final_attn_token_to_image, position)
        self.norm = transformer.norm_final_attn

        learned = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            learned.insert(0, decoder.obj_score_token.weight)
        self.iou_at = len(learned) - 2
        self.learned: Tensor
        self.register_buffer("learned", torch.cat(learned).detach()[None].clone())

        up1, norm, self.activation, up2, _ = decoder.output_upscaling
        self.up1, self.up2, self.up_norm = _scattering(up1), _scattering(up2), _layer_norm(norm)
        self.hyper = decoder.output_hypernetworks_mlps
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
    ) -> tuple[Tensor, Tensor]:
        prompt = torch.cat([self.learned, prompt], 1)
        tokens, image = self.first(prompt, image[None], keys[None], values[None], queries[None])
        for layer in self.later:
            tokens, image = layer(tokens, image, prompt)
        tokens = self.norm(tokens + self.final(tokens + prompt, image))

        x = self.up1(image[0]).reshape(high_res_1.shape) + high_res_1
        x = self.activation(self.up_norm(x))
        x = self.activation(self.up2(x).reshape(high_res_0.shape) + high_res_0)
        first_mask = self.iou_at + 1
        hyper = torch.cat([mlp(tokens[:, first_mask + i]) for i, mlp in enumerate(self.hyper)])
        return hyper @ x.transpose(0, 1), self.scores(tokens[:, self.iou_at])


class FirstLayer(nn.Module):
    """The first two-way block: the image's side of it was projected beforehand."""

    def __init__(self, layer: TwoWayAttentionBlock, no_mask: Tensor) -> None:
        super().__init__()
        self.layer = layer
        out = layer.cross_attn_image_to_token.out_proj
        self.out = nn.Linear(out.in_features, out.out_features)
        self.out.weight.data = out.weight.data.clone()
        self.out.bias.data = out.bias.data + no_mask[0]

    def forward(
        self, prompt: Tensor, image: Tensor, keys: Tensor, values: Tensor, queries: Tensor
    ) -> tuple[Tensor, Tensor]:
        layer = self.layer
        tokens = layer.norm1(layer.self_attn(prompt, prompt, prompt))
        attention = layer.cross_attn_token_to_image
        query = _heads(attention.q_proj(tokens + prompt), attention.num_heads)
        tokens = layer.norm2(tokens + attention.out_proj(_attend(query, keys, values)))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        attention = layer.cross_attn_image_to_token
        key = _heads(attention.k_proj(tokens + prompt), attention.num_heads)
        value = _heads(attention.v_proj(tokens), attention.num_heads)
        return tokens, layer.norm4(image + self.out(_attend(queries, key, value)))


class LaterLayer(nn.Module):
    """A two-way block whose image tokens depend on the prompt."""

    def __init__(self, layer: TwoWayAttentionBlock, position: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.to_image = TokenToImage(layer.cross_attn_token_to_image, position)
        self.query = Projection(layer.cross_attn_image_to_token.q_proj, position)

    def forward(self, tokens: Tensor, image: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        layer = self.layer
        placed = tokens + prompt
        tokens = layer.norm1(tokens + layer.self_attn(placed, placed, tokens))
        tokens = layer.norm2(tokens + self.to_image(tokens + prompt, image))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        attention = layer.cross_attn_image_to_token
        query = _heads(self.query(image), attention.num_heads)
        key = _heads(attention.k_proj(tokens + prompt), attention.num_heads)
        value = _heads(attention.v_proj(tokens), attention.num_heads)
        return tokens, layer.norm4(image + attention.out_proj(_attend(query, key, value)))


class TokenToImage(nn.Module):
    """Prompt tokens attending to the image, whose position encoding is already in the key projection."""

    def __init__(self, attention: Attention, position: Tensor) -> None:
        super().__init__()
        self.attention = attention
        self.key = Projection(attention.k_proj, position)

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        attention, heads = self.attention, self.attention.num_heads
        query, value = attention.q_proj(tokens), attention.v_proj(image)
        attended = _attend(_heads(query, heads), _heads(self.key(image), heads), _heads(value, heads))
        result: Tensor = attention.out_proj(attended)
        return result


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


def _heads(x: Tensor, heads: int) -> Tensor:
    """(1, n, C) or (n, C) to (1, heads, n, C / heads)."""
    return x.reshape(1, -1, heads, x.shape[-1] // heads).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of heads (1, heads, n, c), the heads put together again: (1, n, heads * c)."""
    attended = scaled_dot_product_attention(query, key, value).transpose(1, 2)
    return attended.reshape(1, -1, attended.shape[2] * attended.shape[3])


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


def _layer_norm(norm: LayerNorm2d) -> nn.LayerNorm:
    """SAM 2's LayerNorm2d on tokens."""
    result = nn.LayerNorm(norm.weight.shape[0], eps=norm.eps)
    result.weight.data, result.bias.data = norm.weight.data.clone(), norm.bias.data.clone()
    return result
