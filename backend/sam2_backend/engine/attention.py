"""Attention between a few prompt tokens and all of the image, without projecting the image.

A prompt token has one row for each head, zero in the channels of other heads, so that the scores of all heads are one
product of such rows with the image's keys. And because keys, values and queries are linear in the image, their weights
are multiplied into the few rows instead of into the many image tokens: 2 N 256 H T operations where a projection takes
2 N 256 C. With SAM 2's C = 128 that is half of it for one click (H T = 64), as much for nine. Biases that a softmax
cancels are left out.

Shapes: N image tokens, T prompt tokens, H heads, C their channels together. absent: (T,) float32, added to the scores
of prompt tokens as keys: 0, or minus infinity for those that only fill a fixed length; None if all are there.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam.transformer import Attention
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


class TokensToTokens(nn.Module):
    """Prompt tokens looking at each other, (T, 256) each; (T, 256)."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor, absent: Tensor | None) -> Tensor:
        attention = self.attention
        queries, keys, values = (
            projection(x[None]).reshape(1, x.shape[0], attention.num_heads, -1).transpose(1, 2)
            for projection, x in ((attention.q_proj, query), (attention.k_proj, key), (attention.v_proj, value))
        )
        mask = None if absent is None else absent[None]
        seen = scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        result: Tensor = attention.out_proj(seen.transpose(1, 2).reshape(query.shape[0], -1))
        return result


class _ByHead(nn.Module):
    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        channels = attention.internal_dim // attention.num_heads
        self.scale = channels**-0.5
        self.heads = attention.num_heads
        heads = torch.arange(self.heads)[:, None, None]
        self.own: Tensor
        self.register_buffer("own", (torch.arange(attention.internal_dim) // channels == heads).float())

    def rows(self, tokens: Tensor) -> Tensor:
        """(T, C) to (H T, C)."""
        return (tokens * self.own).reshape(-1, tokens.shape[-1])

    def tokens(self, rows: Tensor) -> Tensor:
        """(H T, C), of which only a head's own channels count, to (T, C)."""
        return (rows.reshape(self.heads, -1, rows.shape[-1]) * self.own).sum(0)


class TokensToImage(_ByHead):
    """Prompt tokens (T, 256) looking at the image; (T, 256)."""

    def forward(self, tokens: Tensor, placed: Tensor, image: Tensor) -> Tensor:
        """placed: image tokens with their position encoding, (N, 256)."""
        query = self._query(tokens) @ self.attention.k_proj.weight
        seen = linear(_weighted_mean(query, placed, image), self.attention.v_proj.weight)
        return self._out(self.tokens(seen) + self.attention.v_proj.bias)

    def projected(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """keys, values: of the image, (N, C)."""
        return self._out(self.tokens(_weighted_mean(self._query(tokens), keys, values)))

    def _query(self, tokens: Tensor) -> Tensor:
        return self.rows(self.attention.q_proj(tokens) * self.scale)

    def _out(self, seen: Tensor) -> Tensor:
        result: Tensor = self.attention.out_proj(seen)
        return result


class ImageToTokens(_ByHead):
    """Every image token looking at the prompt tokens; (N, 256). keyed: prompt tokens (T, 256) with their encoding."""

    def forward(self, placed: Tensor, keyed: Tensor, tokens: Tensor, absent: Tensor | None) -> Tensor:
        """placed: image tokens with their position encoding, (N, 256)."""
        key, project = self._key(keyed), self.attention.q_proj
        scores = (key @ project.weight) @ placed.transpose(0, 1) + linear(key, project.bias[None])
        return self._mean(scores, tokens, absent)

    def projected(self, queries: Tensor, keyed: Tensor, tokens: Tensor, absent: Tensor | None) -> Tensor:
        """queries: of the image, (N, C)."""
        return self._mean(self._key(keyed) @ queries.transpose(0, 1), tokens, absent)

    def _key(self, keyed: Tensor) -> Tensor:
        return self.rows(self.attention.k_proj(keyed) * self.scale)

    def _mean(self, scores: Tensor, tokens: Tensor, absent: Tensor | None) -> Tensor:
        values = linear(self.rows(self.attention.v_proj(tokens)), self.attention.out_proj.weight)
        by_head = scores.reshape(self.heads, -1, scores.shape[-1])
        if absent is not None:
            by_head = by_head + absent[:, None]
        weights = by_head.softmax(1).reshape(scores.shape)
        seen: Tensor = weights.transpose(0, 1) @ values + self.attention.out_proj.bias
        return seen


def _weighted_mean(rows: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(rows keys') values. On a CPU it is written out: OpenVINO makes one node of product, softmax and product,
    several times slower for a few rows as long as these."""
    scores = rows @ keys.transpose(0, 1)
    if scores.is_cuda:
        return scores.softmax(1) @ values
    weights = torch.exp(scores - scores.amax(1, keepdim=True))
    return (weights @ values) / weights.sum(1, keepdim=True)
