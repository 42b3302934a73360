"""SAM 2's image encoder (Hiera trunk, FPN neck), re-expressed exactly on tokens in Morton order.

What differs from `sam2` is order and grouping, never arithmetic beyond rounding: windows that are powers of two and
query pooling are reshapes; the 14 and 7 windows of some configs, which do not tile the grid, are one gather each way;
the neck's lateral 1x1 convolutions are merged with the decoder's `conv_s0` and `conv_s1`; the position embedding is a
constant; `no_mem_embed` sits in a bias; position encodings that images do not use are not computed.
"""

from __future__ import annotations

import torch
from sam2.modeling.backbones.hieradet import MultiScaleBlock
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from sam2_backend.engine.errors import UnsupportedModel
from sam2_backend.engine.fused import Gelu, ResidualNorm
from sam2_backend.engine.morton import morton_index, raster_index


class ImageEncoder(nn.Module):
    """(B, 3, S, S) normalised images to the three maps of an embedding as tokens in Morton order, image after image.

    With g = S / 16: high_res_0 (16 B g², 32), high_res_1 (4 B g², 64), image (B g², 256).

    merged: query, key and value of a block are one product, which suits a GPU; a CPU does better without splitting it.
    """

    def __init__(self, model: SAM2Base, *, merged: bool = False) -> None:
        super().__init__()
        _check(model)
        trunk, neck, decoder = model.image_encoder.trunk, model.image_encoder.neck, model.sam_mask_decoder
        side = model.image_size // 4
        self.patch = trunk.patch_embed.proj
        order = torch.from_numpy(raster_index(side))
        self.order: Tensor
        self.position: Tensor
        self.register_buffer("order", order)
        embedding = trunk._get_pos_embed((side, side)).detach().reshape(side * side, -1)
        self.register_buffer("position", embedding[order].contiguous())
        self.stage_ends = list(trunk.stage_ends)
        blocks: list[nn.Module] = []
        for block in trunk.blocks:
            blocks.append(Block(block, side, merged=merged))
            side = side // 2 if block.q_stride else side
        self.blocks = nn.ModuleList(blocks)
        lateral = [convolution.conv for convolution in reversed(neck.convs)]  # finest first
        self.lateral_0 = _merged(lateral[0], decoder.conv_s0)
        self.lateral_1 = _merged(lateral[1], decoder.conv_s1)
        self.lateral_2 = _linear(lateral[2])
        self.lateral_3 = _linear(lateral[3])
        if model.directly_add_no_mem_embed:
            self.lateral_2.bias.data += model.no_mem_embed.data.reshape(-1)

    def round_products(self, kind: torch.dtype) -> ImageEncoder:
        """Lets the blocks' products, an encode's work, compute in `kind`. What runs from block to block, the norms
        and both ends of the encoder stay in float32, so that roundings do not add up over the depth."""
        for block in self.blocks:
            assert isinstance(block, Block)
            block.round_products(kind)
        return self

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.patch(pixels).flatten(2).transpose(1, 2).index_select(1, self.order) + self.position
        x = x.reshape(-1, x.shape[-1])
        stages: list[Tensor] = []
        added: Tensor | None = None
        for number, block in enumerate(self.blocks):
            x, added = block(x, added)
            if number in self.stage_ends:
                x, added = x + added, None
                stages.append(x)
        top_down = self.lateral_3(stages[3])
        top_down = top_down.reshape(-1, 1, top_down.shape[-1]).expand(-1, 4, -1).reshape(-1, top_down.shape[-1])
        return self.lateral_0(stages[0]), self.lateral_1(stages[1]), self.lateral_2(stages[2]) + top_down


class Block(nn.Module):
    """One Hiera block: the stream (B side², C) and what the block before adds to it, to the same after this one.

    With query pooling it returns (B side² / 4, C').
    """

    def __init__(self, block: MultiScaleBlock, side: int, *, merged: bool = False) -> None:
        super().__init__()
        attention = block.attn
        self.heads = attention.num_heads
        self.width = attention.dim_out
        self.pooled = bool(block.q_stride)
        self.norm1, self.norm2 = ResidualNorm(block.norm1), ResidualNorm(block.norm2)
        self.widen, self.narrow = block.mlp.layers
        self.activation = Gelu()
        self.shortcut = block.proj if block.dim != block.dim_out else None
        self.products = nn.ModuleList([attention.qkv] if merged else _split(attention.qkv))
        self.out = attention.proj
        self.window = (block.window_size or side) ** 2
        self.padded = bool(block.window_size) and side % block.window_size != 0
        self.count = side * side
        self.gather: Tensor
        self.scatter: Tensor
        if self.padded:
            gather, scatter = padded_windows(side, block.window_size, self.pooled)
            self.register_buffer("gather", gather)
            self.register_buffer("scatter", scatter)

    def round_products(self, kind: torch.dtype) -> None:
        self.norm1.kind = self.norm2.kind = self.activation.kind = kind
        for part in (self.products, self.out, self.widen, self.narrow, self.shortcut):
            if part is not None:
                part.to(kind)

    def forward(self, x: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
        x, y = self.norm1(x, added)
        if self.shortcut is not None:
            pooled = self._pool(self.shortcut(y))
            x = pooled if pooled.dtype == x.dtype else pooled.to(x.dtype)
        if self.padded:
            y = self._rows(pad(y.reshape(-1, self.count, y.shape[-1]), (0, 0, 0, 1)), self.gather)
        window = self.window // 4 if self.pooled else self.window
        query, key, value = self._project(y)
        attended = scaled_dot_product_attention(
            self._heads(self._pool(query), window), self._heads(key, self.window), self._heads(value, self.window)
        )
        y = self.out(attended.transpose(1, 2).reshape(-1, self.width))
        if self.padded:
            rows = self.gather.shape[0] // 4 if self.pooled else self.gather.shape[0]
            y = self._rows(y.reshape(-1, rows, self.width), self.scatter)
        x, y = self.norm2(x, y)
        return x, self.narrow(self.activation(self.widen(y)))

    def _project(self, y: Tensor) -> tuple[Tensor, ...]:
        if len(self.products) == 1:
            return self.products[0](y).chunk(3, -1)  # type: ignore[no-any-return]
        return tuple(product(y) for product in self.products)

    @staticmethod
    def _rows(x: Tensor, index: Tensor) -> Tensor:
        """The same rows of every image: (B, N, C) to (B M, C)."""
        return x.index_select(1, index).reshape(-1, x.shape[-1])

    def _pool(self, x: Tensor) -> Tensor:
        return x.reshape(-1, 4, self.width).amax(1) if self.pooled else x

    def _heads(self, x: Tensor, window: int) -> Tensor:
        return x.reshape(-1, window, self.heads, self.width // self.heads).transpose(1, 2)


def padded_windows(side: int, window: int, pooled: bool) -> tuple[Tensor, Tensor]:
    """Row indices for windows that do not tile the grid and are padded with zeros at the right and bottom edge.

    First: for each row of the windows, window after window, the token's Morton position, or side² for padding; inside a
    window 2x2 groups are contiguous, so that pooling is a reshape. Second: for each token of the (pooled) grid in
    Morton order, its row in the (pooled) windows.
    """

    def rows(side: int, window: int, grouped: bool) -> list[int]:
        """Raster index, or -1 for padding, of every row of the windows."""
        count = -(-side // window)
        half = window // 2
        if grouped:
            inside = [
                (2 * (i // half) + dy, 2 * (i % half) + dx) for i in range(half**2) for dy in (0, 1) for dx in (0, 1)
            ]
        else:
            inside = [(y, x) for y in range(window) for x in range(window)]
        result = []
        for corner in range(count * count):
            for y, x in inside:
                y, x = y + corner // count * window, x + corner % count * window
                result.append(y * side + x if y < side and x < side else -1)
        return result

    position = morton_index(side)
    gather = [int(position[raster]) if raster >= 0 else side * side for raster in rows(side, window, pooled)]
    if pooled:
        side, window = side // 2, window // 2
    row_of = {raster: row for row, raster in enumerate(rows(side, window, False)) if raster >= 0}
    scatter = [row_of[int(raster)] for raster in raster_index(side)]
    return torch.tensor(gather), torch.tensor(scatter)


def _check(model: SAM2Base) -> None:
    neck, trunk, size = model.image_encoder.neck, model.image_encoder.trunk, model.image_size
    expected = {
        "image_size is a power of two, at least 128": size >= 128 and size & (size - 1) == 0,
        "use_high_res_features_in_sam is true": model.use_high_res_features_in_sam,
        "the trunk is Hiera with four stages": hasattr(trunk, "stage_ends") and len(trunk.stage_ends) == 4,
        "image_encoder.scalp is 1": model.image_encoder.scalp == 1,
        "neck.fpn_top_down_levels is [2, 3]": neck.fpn_top_down_levels == [2, 3],
        "neck.fpn_interp_model is nearest and fuse_type sum": (neck.fpn_interp_model, neck.fuse_type)
        == ("nearest", "sum"),
    }
    unmet = [what for what, met in expected.items() if not met]
    if unmet:
        raise UnsupportedModel(
            f"this config is not a SAM 2 image model the engine can run; expected: {'; '.join(unmet)}"
        )


def _linear(convolution: nn.Conv2d) -> nn.Linear:
    """A 1x1 convolution on tokens."""
    linear = nn.Linear(convolution.in_channels, convolution.out_channels)
    linear.weight.data = convolution.weight.data[:, :, 0, 0].clone()
    assert convolution.bias is not None
    linear.bias.data = convolution.bias.data.clone()
    return linear


def _merged(first: nn.Conv2d, second: nn.Conv2d) -> nn.Linear:
    """Two 1x1 convolutions in a row as one linear map, multiplied out in float64."""
    inner, outer = _linear(first).double(), _linear(second).double()
    linear = nn.Linear(first.in_channels, second.out_channels)
    linear.weight.data = (outer.weight.data @ inner.weight.data).float()
    linear.bias.data = (outer.weight.data @ inner.bias.data + outer.bias.data).float()
    return linear


def _split(qkv: nn.Linear) -> list[nn.Linear]:
    """Query, key and value projections as three linears: no split of the wide result at run time."""
    parts = []
    for weight, bias in zip(qkv.weight.data.chunk(3), qkv.bias.data.chunk(3), strict=True):
        linear = nn.Linear(qkv.in_features, len(weight))
        linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
        parts.append(linear)
    return parts
