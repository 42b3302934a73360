"""The steps between matrix products for which PyTorch takes several kernels or a slow one; on a GPU one of ours each.

They compute the same as plain PyTorch, on a CPU and in exported graphs, and as `native/fused.cu` once they are fused.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from sam2_backend.engine.nvrtc import Kernel, KernelUnavailable

LANES, ROWS = 32, 8  # of a block of threads, where a row of a matrix is a warp
THREADS = LANES * ROWS
log = logging.getLogger(__name__)


class ResidualNorm(nn.Module):
    """The stream x (N, C) float32 and what is added to it, y (N, C) or None, to the new stream x + y and its norm.

    y and the norm are of `kind`, the type that the products around them take. summed: the new stream is used; if it is
    not, it need not be written.
    """

    def __init__(self, norm: nn.LayerNorm, *, summed: bool = True) -> None:
        super().__init__()
        self.norm = norm
        self.summed = summed
        self.kind = torch.float32
        self.kernel: Kernel | None = None

    def fuse(self, device: torch.device) -> None:
        """Raises KernelUnavailable."""
        (channels,) = self.norm.normalized_shape
        if channels % 4:
            raise KernelUnavailable(f"a norm of {channels} channels; expected a multiple of 4")
        self.kernel = Kernel("residual_norm", device, self.kind, channels)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.kernel is None:
            x = x if y is None else x + y
            normed = self.norm(x)
            return x, normed if normed.dtype == self.kind else normed.to(self.kind)
        x = x.contiguous()
        y = None if y is None else y.contiguous()
        total = x if y is None or not self.summed else torch.empty_like(x)
        normed = torch.empty_like(x, dtype=self.kind)
        rows = x.numel() // x.shape[-1]
        written = None if total is x else total
        weights = (self.norm.weight, self.norm.bias)
        self.kernel.launch(-(-rows // ROWS), (LANES, ROWS), x, y, *weights, written, normed, rows, self.norm.eps)
        return total, normed


class Gelu(nn.Module):
    """GELU of a tensor of `kind`, exact up to rounding. Once fused, it overwrites its input."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = torch.float32
        self.kernel: Kernel | None = None

    def fuse(self, device: torch.device) -> None:
        """Raises KernelUnavailable."""
        self.kernel = Kernel("gelu", device, self.kind)

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel is None:
            return gelu(x)
        x = x.contiguous()
        assert x.dtype == self.kind
        assert x.numel() % 4 == 0
        count = x.numel() // 4
        self.kernel.launch(-(-count // THREADS), (THREADS, 1), x, count)
        return x


def fuse(*modules: nn.Module) -> None:
    """Let these modules' steps be kernels of ours, if this machine can; otherwise they stay as they are."""
    steps = [step for module in modules for step in module.modules() if isinstance(step, (ResidualNorm, Gelu))]
    device = next(modules[0].parameters()).device
    try:
        for step in steps:
            step.fuse(device)
    except KernelUnavailable as error:
        log.warning("the model's own kernels cannot be used, an encode takes half as long again: %s", error)
        for step in steps:
            step.kernel = None
