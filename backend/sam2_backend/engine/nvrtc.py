"""CUDA kernels of ours, compiled at start-up by NVRTC and launched through NVIDIA's own Python bindings.

Both come with PyTorch's CUDA builds, so that no compiler is needed on the host or in the image.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).parents[1] / "native" / "fused.cu"
HALF = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}


class KernelUnavailable(Exception):
    """The kernel cannot be compiled or loaded here; the text says why."""


class Kernel:
    """A function of `native/fused.cu`, compiled for a device, a type of elements and a number of channels (0: any)."""

    def __init__(self, name: str, device: torch.device, kind: torch.dtype, channels: int = 0) -> None:
        self._device = device
        self._function = _compiled(name, device, kind, channels)

    def launch(self, grid: int, block: tuple[int, int], *arguments: Tensor | int | float | None) -> None:
        """On the current stream of the device. Tensors are contiguous; an int is 32 bits; None is a null pointer."""
        from cuda.bindings import driver

        values, types = zip(*map(_passed, arguments), strict=True)
        stream = torch.cuda.current_stream(self._device).cuda_stream
        _take(driver.cuLaunchKernel(self._function, grid, 1, 1, *block, 1, 0, stream, (values, types), 0))


def _passed(argument: Tensor | int | float | None) -> tuple[int | float, type]:
    """A value as the driver takes it, and its C type."""
    if argument is None:
        return 0, ctypes.c_void_p
    if isinstance(argument, Tensor):
        assert argument.is_contiguous()
        return argument.data_ptr(), ctypes.c_void_p
    return argument, ctypes.c_float if isinstance(argument, float) else ctypes.c_int


@functools.cache
def _compiled(name: str, device: torch.device, kind: torch.dtype, channels: int) -> Any:
    try:
        from cuda.bindings import driver, nvrtc
    except ImportError as error:
        raise KernelUnavailable(f"PyTorch {torch.__version__} came without NVIDIA's bindings: {error}") from error
    major, minor = torch.cuda.get_device_capability(device)
    options = [f"--gpu-architecture=sm_{major}{minor}", f"-DHALF={HALF[kind]}"]
    options += [f"-DCHANNELS={channels}"] if channels else []
    (program,) = _take(nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), SOURCE.name.encode(), 0, [], []))
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    if int(status):
        (size,) = _take(nvrtc.nvrtcGetProgramLogSize(program))
        said = b" " * size
        _take(nvrtc.nvrtcGetProgramLog(program, said))
        raise KernelUnavailable(f"{SOURCE.name}: {' '.join(said.decode(errors='replace').split())[:300]}")
    (size,) = _take(nvrtc.nvrtcGetCUBINSize(program))
    code = b" " * size
    _take(nvrtc.nvrtcGetCUBIN(program, code))
    with torch.cuda.device(device):
        torch.cuda.current_stream(device).synchronize()  # makes PyTorch's context this thread's
        (module,) = _take(driver.cuModuleLoadData(code))
    (function,) = _take(driver.cuModuleGetFunction(module, name.encode()))
    return function


def _take(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call answered behind its status. Raises KernelUnavailable for a status other than success."""
    status, *rest = answer
    if int(status):
        raise KernelUnavailable(f"CUDA answered {status!r}")
    return tuple(rest)
