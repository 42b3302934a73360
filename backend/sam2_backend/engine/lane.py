"""A device's lanes and graphs: what runs one after the other, and what was captured once and is replayed since.

On a GPU a lane is a stream. Its graphs share one pool of memory, so that they must not run at the same time, and the
results of one are valid until the next. Two lanes do run at the same time. Elsewhere (CPU tensors, for tests) a lane
orders nothing and a graph is its function.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sam2_backend.engine.interface import EngineLost, EngineOutOfMemory

Tensors = tuple[Tensor, ...]
log = logging.getLogger(__name__)


class Lane:
    """urgent: where two lanes have work for the GPU, this one's begins first."""

    def __init__(self, device: torch.device, *, urgent: bool = False) -> None:
        self.device = device
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device, priority=-1 if urgent else 0)  # type: ignore[no-untyped-call]
            self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """What is asked of the device inside is done when this returns.

        Raises EngineOutOfMemory after giving back what PyTorch keeps unused, and EngineLost for any other error of the
        device, which every later call of this process would meet too.
        """
        try:
            with torch.no_grad():
                if self.stream is None:
                    yield
                    return
                with torch.cuda.stream(self.stream):
                    yield
                self.stream.synchronize()
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise EngineOutOfMemory(f"{self.device} has {memory_left(self.device)}: {error}") from error
        except RuntimeError as error:
            if "CUDA error" in str(error):
                raise EngineLost(f"{self.device}: {str(error).splitlines()[0]}") from error
            raise

    def host_buffer(self, *shape: int, kind: torch.dtype = torch.float32) -> Tensor:
        """Host memory that the device reads and writes by itself; holds anything at first."""
        return torch.empty(shape, dtype=kind, pin_memory=self.stream is not None)


def memory_left(device: torch.device) -> str:
    """Of a GPU, in words for people."""
    free, total = torch.cuda.mem_get_info(device)
    return f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"


class Graph:
    """A function of tensors that stay where they are: its inputs are filled, then it runs, then `results` are read."""

    def __init__(self, lane: Lane, function: Callable[..., Tensors], *inputs: Tensor) -> None:
        self.inputs = inputs
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self.results: Tensors = ()
        if lane.stream is not None:
            self._capture(lane)

    def run(self) -> Tensors:
        """Inside the lane's work."""
        if self._graph is not None:
            self._graph.replay()
        else:
            self.results = self._function(*self.inputs)
        return self.results

    def _capture(self, lane: Lane) -> None:
        try:
            with lane.work():
                for _ in range(2):  # kernels choose themselves and allocate before the capture
                    self._function(*self.inputs)
            graph = torch.cuda.CUDAGraph()
            with torch.no_grad(), torch.cuda.graph(graph, pool=lane.pool, stream=lane.stream):
                self.results = self._function(*self.inputs)
        except torch.cuda.OutOfMemoryError as error:
            raise EngineOutOfMemory(f"{lane.device} has no room for the model: {error}") from error
        except RuntimeError as error:
            if isinstance(error, (EngineLost, EngineOutOfMemory)):
                raise
            shapes = [tuple(value.shape) for value in self.inputs]
            log.warning("no CUDA graph for inputs %s, running without: %s", shapes, error)
            self.results = ()
        else:
            self._graph = graph
