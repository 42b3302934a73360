"""The model as OpenVINO graphs in a folder: written once by PyTorch, read at every start without it.

encoder      pixels (1, 3, S, S) -> high_res_0, high_res_1, image (float16)
projections  image -> keys, values, queries (float16)
mask_prompt  image, logits (N, 16) -> image (float16)
decoder      all of these and prompt (1, T, 256) -> logits (4, 16 N), scores (1, 4)

T is dynamic: with static shapes and one point OpenVINO 2026.4 decodes wrongly in bfloat16. Graphs are stored in
float32; their precision is chosen when they are compiled.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn
from torch.export import Dim

from sam2_backend.engine.build import prompt_encoder
from sam2_backend.engine.decoder import ImageProjections, MaskDecoder, MaskPrompt
from sam2_backend.engine.encoder import ImageEncoder

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing openvino would phone home

import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

DYNAMIC = -1


@torch.no_grad()
def convert(model: SAM2Base, folder: Path) -> None:
    """Write the four graphs and the prompt encoder's weights to `folder`."""
    grid, size = (model.image_size // 16) ** 2, model.image_size
    prompt_encoder(model).save(folder / "prompts.npz")

    pixels, image = torch.zeros(1, 3, size, size), torch.zeros(grid, 256)
    maps = (torch.zeros(16 * grid, 32), torch.zeros(4 * grid, 64), image)
    projections = ImageProjections(model).eval()
    decoder_inputs = (*maps, *projections(image), torch.zeros(1, 2, 256))
    _write(folder / "encoder.xml", ImageEncoder(model), (pixels,), half_inputs=0, half_outputs=3)
    _write(folder / "projections.xml", projections, (image,), half_inputs=1, half_outputs=3)
    _write(folder / "mask_prompt.xml", MaskPrompt(model), (image, torch.zeros(grid, 16)), half_inputs=1, half_outputs=1)
    _write(folder / "decoder.xml", MaskDecoder(model), decoder_inputs, half_inputs=6, half_outputs=0, dynamic=True)


def _write(
    path: Path,
    module: nn.Module,
    example: Sequence[Tensor],
    *,
    half_inputs: int,
    half_outputs: int,
    dynamic: bool = False,
) -> None:
    """Convert a module; its first `half_inputs` inputs and `half_outputs` outputs become float16 tensors.

    dynamic: the last input's second dimension may have any size. Exported, not traced: a trace keeps every intermediate
    result, too much for many hosts.
    """
    shapes = [list(value.shape) for value in example]
    free: list[dict[int, Dim] | None] = [None for _ in example]
    if dynamic:
        shapes[-1][1] = DYNAMIC
        free[-1] = {1: Dim("tokens")}
    program = torch.export.export(module.eval(), tuple(example), dynamic_shapes=tuple(free))
    graph = ov.convert_model(program)
    graph.reshape({number: ov.PartialShape(shape) for number, shape in enumerate(shapes)})
    processor = PrePostProcessor(graph)
    for number in range(half_inputs):
        processor.input(number).tensor().set_element_type(ov.Type.f16)
    for number in range(half_outputs):
        processor.output(number).tensor().set_element_type(ov.Type.f16)
    ov.save_model(processor.build(), path, compress_to_fp16=False)
