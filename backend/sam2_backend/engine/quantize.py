"""The image encoder with the linear layers of its blocks in int8; all else stays in float32.

Symmetric: weights by their output channel's largest value, activations by the tensor's largest one over some drawings.
Weights use 7 of the 8 bits: a CPU without VNNI adds up two products in 16, which overflows with 8-bit weights (a
quarter of the embedding is wrong then) and cannot with 7.

OpenVINO finds the fake quantization and computes those products in integers (its "low precision transformations").
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_backend.demo import SAMPLES
from sam2_backend.engine.errors import SelfCheckFailed
from sam2_backend.engine.pixels import model_input

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing openvino would phone home

import openvino as ov  # noqa: E402
from openvino import opset13 as ops  # noqa: E402

STEPS = 255  # of -127 to 127
SPARE = 2.0  # a range twice as wide leaves a weight 7 bits
MOST_ERROR = 0.05  # relative, of each map: twice what rounding does to tiny, a fifth of what overflow does

Array = NDArray[np.float32]


def quantize_file(path: Path) -> None:
    """Put the quantized encoder in the place of the one that `path` (.xml, beside its .bin) holds."""
    encoder = ov.Core().read_model(path)
    quantize(encoder)
    made = path.with_name("quantized.xml")
    ov.save_model(encoder, made, compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        made.with_suffix(suffix).replace(path.with_suffix(suffix))


def quantize(encoder: ov.Model) -> None:
    """Quantize an encoder (pixels (1, 3, S, S) -> three maps) in place, calibrated on drawings.

    Raises SelfCheckFailed if the maps of another drawing then differ too much from those of before.
    """
    size = int(encoder.input(0).shape[-1])
    *calibration, unseen = [model_input(np.asarray(Image.open(path)), size) for path in SAMPLES]
    expected = _compiled(encoder)(unseen)

    layers = _layers(encoder)
    sources = {_key(layer.input_value(0)): layer.input_value(0) for layer in layers}
    largest = dict(zip(sources, _largest(encoder, list(sources.values()), calibration), strict=True))
    rounded = {key: _fake(source, largest[key]) for key, source in sources.items()}
    for layer in layers:
        weights = layer.input_value(1)
        values = weights.get_node().get_data()
        layer.input(0).replace_source_output(rounded[_key(layer.input_value(0))])
        layer.input(1).replace_source_output(_fake(weights, SPARE * np.abs(values).max(1, keepdims=True)))
    encoder.validate_nodes_and_infer_types()

    for ours, theirs in zip(_compiled(encoder)(unseen), expected, strict=True):
        error = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
        if not error <= MOST_ERROR:
            raise SelfCheckFailed(
                f"int8 changes this model's embeddings by {error:.1%}, expected {MOST_ERROR:.0%} at most;"
                " use PRECISION=auto"
            )


def _layers(encoder: ov.Model) -> list[ov.Node]:
    """The linear layers that another one follows: all but the neck's laterals, whose results are the embedding."""
    followed: set[str] = set()
    layers: list[ov.Node] = []
    for op in reversed(encoder.get_ordered_ops()):
        users = [use.get_node() for output in op.outputs() for use in output.get_target_inputs()]
        if any(user.get_friendly_name() in followed or _is_linear(user) for user in users):
            followed.add(op.get_friendly_name())
            layers += [op] if _is_linear(op) else []
    return layers


def _is_linear(op: ov.Node) -> bool:
    """A product with constant weights, (outputs, inputs)."""
    return bool(op.get_type_name() == "MatMul" and op.input_value(1).get_node().get_type_name() == "Constant")


def _key(output: ov.Output) -> tuple[str, int]:
    return output.get_node().get_friendly_name(), output.get_index()


def _fake(output: ov.Output, largest: NDArray[np.floating[Any]] | float) -> ov.Output:
    high = np.maximum(np.asarray(largest, np.float32), np.finfo(np.float32).tiny)
    return ops.fake_quantize(output, -high, high, -high, high, STEPS).output(0)


def _largest(encoder: ov.Model, sources: Sequence[ov.Output], images: Sequence[Array]) -> Array:
    """The largest magnitude of each tensor over the images."""
    axes = [np.arange(len(source.get_partial_shape())) for source in sources]
    seen = [ops.reduce_max(ops.abs(source), axis, False) for source, axis in zip(sources, axes, strict=True)]
    watched = ov.Model([ops.result(each) for each in seen], encoder.get_parameters(), "watched")
    run = _compiled(watched)
    largest: Array = np.array([run(image) for image in images]).max(0)
    return largest


def _compiled(model: ov.Model) -> Callable[[Array], list[Array]]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: [np.array(value, np.float32) for value in compiled(pixels).values()]
