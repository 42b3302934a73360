"""DEVICE=cuda:1 on a machine of two stand-in GPUs: nothing is asked of the first. A real second card was never seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sam2_backend.engine import cuda
from sam2_backend.engine.cuda import find_gpu
from sam2_backend.engine.lane import Graph, Lane, memory_left
from sam2_backend.engine.torch_engine import WORKING_BYTES, TorchEngine
from sam2_backend.model.checkpoints import ModelFiles
from sam2_backend.model.loading import LoadedModel

SECOND = torch.device("cuda", 1)
GB = 1_000_000_000
FREE = {0: 1 * GB, 1: 7 * GB}
CAPABILITY = {0: (6, 1), 1: (8, 0)}


class StandInStream:
    def __init__(self, device: torch.device, priority: int = 0) -> None:
        self.device = device

    def synchronize(self) -> None:
        pass


class StandInGpus:
    """captured_on: the streams on which graphs were captured; ran_on: the device of each run of a graph's function."""

    def __init__(self) -> None:
        self.captured_on: list[object] = []
        self.ran_on: list[int] = []
        self._current = 0

    @contextlib.contextmanager
    def stream(self, stream: StandInStream) -> Iterator[None]:
        before, self._current = self._current, int(stream.device.index)
        yield
        self._current = before

    @contextlib.contextmanager
    def graph(self, _: object, *, pool: object = None, stream: StandInStream | None = None) -> Iterator[None]:
        self.captured_on.append(stream)
        with self.stream(stream) if stream else contextlib.nullcontext():
            yield

    def function(self, value: torch.Tensor) -> tuple[torch.Tensor]:
        self.ran_on.append(self._current)
        return (value,)

    def number(self, device: torch.device | str | int | None) -> int:
        """As PyTorch reads it: without a device, or without its number, the current one is meant."""
        index = torch.device(device).index if isinstance(device, str) else getattr(device, "index", device)
        return self._current if index is None else int(index)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> StandInGpus:
    gpus = StandInGpus()
    for name, stand_in in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_capability": lambda device=None: CAPABILITY[gpus.number(device)],
        "mem_get_info": lambda device=None: (FREE[gpus.number(device)], 8 * GB),
        "memory_reserved": lambda device=None: 100 + gpus.number(device),
        "Stream": StandInStream,
        "stream": gpus.stream,
        "graph": gpus.graph,
        "graph_pool_handle": lambda: (0, 1),
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return gpus


@pytest.mark.usefixtures("gpus")
def test_the_device_that_was_asked_for_is_taken() -> None:
    assert find_gpu("cuda:1") == SECOND
    assert find_gpu("cuda") == torch.device("cuda", 0)


def test_graphs_are_warmed_up_and_captured_there(gpus: StandInGpus) -> None:
    lane = Lane(SECOND)
    Graph(lane, gpus.function, torch.zeros(1))
    assert gpus.captured_on == [lane.stream]
    assert set(gpus.ran_on) == {1}


@pytest.mark.usefixtures("gpus")
def test_what_it_can_do_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Precision and batch are those of the card that serves, and what its masks are compared with comes from it."""
    moved: list[object] = []

    class StandInModel:
        def to(self, device: object) -> StandInModel:
            moved.append(device)
            return self

    for name, stand_in in {
        "BATCH_BYTES": 5 * GB,
        "build_model": lambda *_: StandInModel(),
        "ReferenceEngine": lambda model: model,
        "compute_golden": lambda _: None,
        "check": lambda *_: None,
        "TorchEngine": lambda _, device, **options: SimpleNamespace(device=device, **options),
    }.items():
        monkeypatch.setattr(cuda, name, stand_in)
    engine: Any = cuda.load_cuda(Path(__file__), Path("tiny.pt"), "0" * 64, device="cuda:1", precision="auto")
    assert (engine.device, engine.precision, engine.batch) == (SECOND, "bf16", cuda.BATCH)
    assert moved == [SECOND]


@pytest.mark.usefixtures("gpus")
def test_memory_is_read_there() -> None:
    assert memory_left(SECOND).startswith("7.0 of 8.0 GB")
    engine: Any = TorchEngine.__new__(TorchEngine)
    engine._device = SECOND
    assert engine.room == FREE[1] - WORKING_BYTES
    served: Any = SimpleNamespace(info=SimpleNamespace(device="cuda:1 NVIDIA Stand-in"))
    files = ModelFiles("tiny.yaml", Path("tiny.pt"), official=None)
    assert LoadedModel(served, files, "0" * 64, overlaps=True, asked="auto").device_memory() == 101
