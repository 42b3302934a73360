"""The GPU engine: the same re-expressed modules in PyTorch, replayed as CUDA graphs, embeddings kept on the device.

Written for Turing (float16) to Blackwell (bfloat16). Everything but the graphs and the memory handling is tested on CPU
tensors; those two have not run on a GPU yet.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from sam2_backend.engine.build import build_model, prompt_encoder
from sam2_backend.engine.decoder import ImageProjections, MaskDecoder, MaskPrompt
from sam2_backend.engine.encoder import ImageEncoder
from sam2_backend.engine.errors import DeviceUnavailable, SelfCheckFailed
from sam2_backend.engine.fingerprints import file_sha256, fingerprint
from sam2_backend.engine.interface import EngineInfo, EngineLost, EngineOutOfMemory, HostEmbedding, Prepared
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import check, compute_golden
from sam2_backend.engine.token_engine import TokenEngine, check_embedding

TYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
MOST_TOKENS_CAPTURED = 12  # a longer prompt than eleven clicks runs without a graph

Tensors = tuple[Tensor, ...]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OnDevice:
    """maps: high_res_0, high_res_1 and image; projections: keys, values and queries of the image; float16."""

    maps: Tensors
    projections: Tensors

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.maps, *self.projections))


class TorchEngine(TokenEngine):
    """model: float32 on the CPU, copied. device: any PyTorch device. precision: the encoder's, a key of `TYPES`."""

    def __init__(
        self, model: SAM2Base, device: torch.device, *, precision: str, name: str = "", fingerprint: str = ""
    ) -> None:
        label = f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
        info = EngineInfo("torch", label, precision, name, model.image_size, fingerprint)
        super().__init__(info, prompt_encoder(model))
        model = copy.deepcopy(model)  # the modules below share layers with it, and change their type
        self._device, self._type = device, TYPES[precision]
        encoder, projections, mask_prompt, decoder = (
            part(model).to(device, self._type if part is ImageEncoder else torch.float32).eval().requires_grad_(False)
            for part in (ImageEncoder, ImageProjections, MaskPrompt, MaskDecoder)
        )
        self._encoder = _Replayed(lambda pixels: tuple(level.half() for level in encoder(pixels)))
        self._projections = _Replayed(lambda image: tuple(value.half() for value in projections(image.float())))
        self._mask_prompt = _Replayed(lambda image, logits: (mask_prompt(image.float(), logits).half(),))
        self._decoder = _Replayed(lambda *inputs: decoder(*(value.float() for value in inputs)))

    def export(self, prepared: Prepared) -> HostEmbedding:
        assert isinstance(prepared, OnDevice)
        return HostEmbedding(*(level.cpu().numpy() for level in prepared.maps))

    def restore(self, embedding: HostEmbedding) -> Prepared:
        check_embedding(embedding, self._info.image_size)
        arrays = (embedding.high_res_0, embedding.high_res_1, embedding.image)
        with _memory(self._device):
            return self._project(tuple(torch.from_numpy(array.copy()).to(self._device) for array in arrays))

    def _encode(self, pixels: NDArray[np.float32]) -> Prepared:
        with _memory(self._device):
            maps = self._encoder(torch.from_numpy(pixels).to(self._device, self._type))
            return self._project(tuple(level.clone() for level in maps))

    def _project(self, maps: Tensors) -> OnDevice:
        return OnDevice(maps, tuple(value.clone() for value in self._projections(maps[2])))

    def _run(
        self, prepared: Prepared, tokens: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert isinstance(prepared, OnDevice)
        fine, middle, image = prepared.maps
        projections = prepared.projections
        with _memory(self._device):
            if logits is not None:
                (image,) = self._mask_prompt(image, torch.from_numpy(logits).to(self._device))
                projections = self._projections(image)
            prompt = torch.from_numpy(tokens).to(self._device)
            masks, scores = self._decoder(fine, middle, image, *projections, prompt)
            return masks.cpu().numpy(), scores[0].cpu().numpy()


class _Replayed:
    """A function of tensors, captured once per input shape as a CUDA graph; run as it is where that cannot be.

    Its results are valid until the next call.
    """

    def __init__(self, function: Callable[..., Tensors]) -> None:
        self._function = function
        self._graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Tensors, Tensors] | None] = {}

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensors:
        if inputs[0].device.type != "cuda" or (inputs[-1].ndim == 3 and inputs[-1].shape[1] > MOST_TOKENS_CAPTURED):
            return self._function(*inputs)
        shapes = tuple(value.shape for value in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = self._capture(inputs)
        captured = self._graphs[shapes]
        if captured is None:
            return self._function(*inputs)
        graph, held, results = captured
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given)
        graph.replay()
        return results

    def _capture(self, inputs: Tensors) -> tuple[torch.cuda.CUDAGraph, Tensors, Tensors] | None:
        held = tuple(value.clone() for value in inputs)
        device = inputs[0].device
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        try:
            # A capture is of the current device, whatever device its tensors are on.
            with torch.cuda.device(device):
                with torch.cuda.stream(side):
                    for _ in range(2):  # kernels choose themselves and allocate before the capture
                        self._function(*held)
                torch.cuda.current_stream(device).wait_stream(side)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    results = self._function(*held)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("no CUDA graph for inputs %s, running without: %s", [tuple(i.shape) for i in inputs], error)
            return None
        return graph, held, results


@contextmanager
def _memory(device: torch.device) -> Iterator[None]:
    """Turns the device's errors into the engine's; before out of memory, gives back what PyTorch keeps unused.

    Any other CUDA error is sticky: each call of this process fails from then on.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(device))
        raise EngineOutOfMemory(f"{device} has {free:.1f} of {total:.1f} GB free: {error}") from error
    except RuntimeError as error:
        if "CUDA error" in str(error):
            raise EngineLost(f"{device}: {str(error).splitlines()[0]}") from error
        raise


def load_cuda(config: Path, checkpoint: Path, *, device: str, precision: str) -> TorchEngine:
    """The engine on a GPU, checked against fp32 on the same GPU.

    Raises DeviceUnavailable, saying what PyTorch sees, if there is no such GPU or it does not compute in `precision`;
    and what `build_model` and `selfcheck.check` raise.
    """
    chosen = find_gpu(device)
    capability = torch.cuda.get_device_capability(chosen)
    best = "bf16" if capability >= (8, 0) else "f16" if capability >= (7, 0) else "f32"
    wanted = {"auto": list(dict.fromkeys([best, "f32"])), "bf16": ["bf16"], "f16": ["f16"], "f32": ["f32"]}
    if precision not in wanted:
        raise DeviceUnavailable(f"PRECISION={precision} is not served on a GPU; expected auto, bf16, f16 or f32")
    model = build_model(config, checkpoint)
    golden = compute_golden(ReferenceEngine(copy.deepcopy(model).to(chosen)))
    weights = file_sha256(checkpoint)
    failures = []
    for choice in wanted[precision]:
        engine = TorchEngine(
            model,
            chosen,
            precision=choice,
            name=checkpoint.stem,
            fingerprint=fingerprint(weights, config, choice),
        )
        try:
            check(engine, golden)
        except SelfCheckFailed as error:
            failures.append(f"PyTorch on {chosen} in {choice} is refused: {error}")
            log.warning("%s", failures[-1])
        else:
            return engine
    raise SelfCheckFailed("; ".join(failures))


def find_gpu(device: str) -> torch.device:
    """`cuda` or `cuda:N` as a device that is there. Raises DeviceUnavailable."""
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise DeviceUnavailable(
            f"DEVICE={device}, but PyTorch {torch.__version__} ({built}) finds no GPU;"
            " check nvidia-smi inside the container, or set DEVICE=cpu"
        )
    chosen = torch.device(device)
    index = chosen.index or 0
    count = torch.cuda.device_count()
    if index >= count:
        names = ", ".join(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count))
        raise DeviceUnavailable(f"DEVICE={device}, but PyTorch sees only {names}")
    return torch.device("cuda", index)
