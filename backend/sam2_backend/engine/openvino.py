"""The CPU engine: OpenVINO graphs (`ir.py`), the encoder in bfloat16 or int8 if asked to, all else in float32.

Nothing here imports PyTorch: a start from converted graphs saves its seconds and its memory.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import EngineInfo, HostEmbedding, Pixels, Prepared
from sam2_backend.engine.pixels import model_input
from sam2_backend.engine.prompt_encoder import PromptEncoder
from sam2_backend.engine.token_engine import TokenEngine, check_embedding

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing openvino would phone home

import openvino as ov  # noqa: E402

GRAPHS = ("encoder", "projections", "mask_prompt", "decoder")
Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedding with the first decoder layer's view of it, float16: 11.5 MB for image_size 1024."""

    maps: HostEmbedding
    keys: Half
    values: Half
    queries: Half

    @property
    def nbytes(self) -> int:
        maps = self.maps
        arrays = (maps.high_res_0, maps.high_res_1, maps.image, self.keys, self.values, self.queries)
        return sum(array.nbytes for array in arrays)


class OpenVinoEngine(TokenEngine):
    """folder: what `ir.convert` wrote. precision: of the encoder, `bf16`, `f32`, or `int8` if it was quantized
    (`quantize.py`). decoder: precision of what a click runs, `f32` or `bf16`.

    threads: 0 lets OpenVINO take every core.
    """

    # What `encode` runs shares no request with what `decode` and `restore` run.
    overlaps = True

    def __init__(
        self,
        folder: Path,
        *,
        precision: str,
        decoder: str = "f32",
        threads: int = 0,
        name: str = "",
        fingerprint: str = "",
    ) -> None:
        prompts = PromptEncoder.load(folder / "prompts.npz")
        super().__init__(
            EngineInfo("openvino", "cpu", precision, name, prompts.image_size, fingerprint),
            prompts,
        )
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # two pinned processes would share the same cores
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        core = ov.Core()
        hints = dict.fromkeys(GRAPHS, decoder) | {"encoder": "bf16" if precision == "bf16" else "f32"}
        compiled = {
            graph: core.compile_model(
                core.read_model(folder / f"{graph}.xml"), "CPU", options | {"INFERENCE_PRECISION_HINT": hint}
            )
            for graph, hint in hints.items()
        }
        self._encoder, self._encoder_projections, self._projections, self._mask_prompt, self._decoder = (
            compiled[graph].create_infer_request()
            for graph in ("encoder", "projections", "projections", "mask_prompt", "decoder")
        )

    def pixels(self, image: NDArray[np.uint8]) -> Pixels:
        return model_input(image, self._info.image_size)

    def export(self, prepared: Prepared) -> HostEmbedding:
        assert isinstance(prepared, Embedded)
        return prepared.maps

    def restore(self, embedding: HostEmbedding) -> Embedded:
        check_embedding(embedding, self._info.image_size)
        maps = HostEmbedding(embedding.high_res_0.copy(), embedding.high_res_1.copy(), embedding.image.copy())
        return Embedded(maps, *_infer(self._projections, maps.image))

    def encode_batch(self, pixels: Sequence[Pixels]) -> list[Prepared]:
        (image,) = pixels
        assert isinstance(image, np.ndarray)
        maps = HostEmbedding(*_infer(self._encoder, image))
        return [Embedded(maps, *_infer(self._encoder_projections, maps.image))]

    def _run(
        self, prepared: Prepared, tokens: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert isinstance(prepared, Embedded)
        maps, image = prepared.maps, prepared.maps.image
        projections: tuple[Half, ...] = (prepared.keys, prepared.values, prepared.queries)
        if logits is not None:
            (image,) = _infer(self._mask_prompt, image, logits)
            projections = _infer(self._projections, image)
        _bind(self._decoder, maps.high_res_0, maps.high_res_1, image, *projections, tokens)
        self._decoder.infer()
        return self._decoder.get_output_tensor(0).data, self._decoder.get_output_tensor(1).data[0]


def _bind(request: ov.InferRequest, *inputs: NDArray[Any]) -> None:
    for number, values in enumerate(inputs):
        request.set_input_tensor(number, ov.Tensor(values, shared_memory=True))


def _infer(request: ov.InferRequest, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Run a graph of static shapes and give its outputs memory of their own."""
    _bind(request, *inputs)
    outputs = []
    for number, port in enumerate(request.model_outputs):
        values = np.empty(tuple(port.shape), port.element_type.to_dtype())
        request.set_output_tensor(number, ov.Tensor(values, shared_memory=True))
        outputs.append(values)
    request.infer()
    return tuple(outputs)
