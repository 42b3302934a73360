"""The GPU engine: the same re-expressed modules in PyTorch, replayed as CUDA graphs, embeddings kept on the device.

Everything is captured at start-up: prompts are filled up to one of a few lengths, and no click waits for a capture.
Three lanes run side by side: clicks (restore, decode), encodes, and copies between host and device, which need no
place in any queue.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn.functional import interpolate

from sam2_backend.engine.build import prompt_encoder
from sam2_backend.engine.decoder import ImageProjections, MaskDecoder, MaskPrompt
from sam2_backend.engine.encoder import ImageEncoder
from sam2_backend.engine.fused import fuse
from sam2_backend.engine.interface import EngineInfo, HostEmbedding, Pixels, Prepared, Prompt
from sam2_backend.engine.lane import Graph, Lane, Tensors
from sam2_backend.engine.mask_choice import MaskChoice
from sam2_backend.engine.pixels import GAIN, OFFSET, check_image
from sam2_backend.engine.token_engine import TokenEngine, check_embedding, probability

TYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
# Lengths to which prompts are filled up: a click or a box with its corrections, and long prompts. Longer ones run
# without a graph.
TOKENS = (8, 32)
CHANNELS = 256
# Of the card, kept free of embeddings for what encodes and copies need for a moment.
WORKING_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class OnDevice:
    """state: (1408 N,) float16 on the device, an embedding's maps and the first decoder layer's view of it (`Layout`).
    For image_size 1024 that is 11.5 MB."""

    state: Tensor

    @property
    def nbytes(self) -> int:
        return self.state.nbytes


class Layout:
    """What lies where in `OnDevice.state`: high_res_0, high_res_1, image, then its keys, values and queries."""

    def __init__(self, image_size: int) -> None:
        grid = (image_size // 16) ** 2
        self.shapes = [(16 * grid, 32), (4 * grid, 64), (grid, CHANNELS), *[(grid, 128)] * 3]
        self.sizes = [rows * columns for rows, columns in self.shapes]
        self.maps, self.total = sum(self.sizes[:3]), sum(self.sizes)

    def split(self, state: Tensor) -> list[Tensor]:
        """Views of the state, or of its maps alone."""
        count = 6 if len(state) == self.total else 3
        parts = state.split(self.sizes[:count])  # type: ignore[no-untyped-call]
        return [part.view(shape) for part, shape in zip(parts, self.shapes[:count], strict=True)]


class TorchEngine(TokenEngine):
    """model: float32 on the CPU, copied. device: any PyTorch device. precision: of the encoder's products, a key of
    `TYPES`. batch: images that `encode_batch` takes. compiled: let `torch.compile` write the encoder's kernels.

    Raises EngineOutOfMemory if the device has no room for the model.
    """

    overlaps = True

    def __init__(
        self,
        model: SAM2Base,
        device: torch.device,
        *,
        precision: str,
        name: str = "",
        fingerprint: str = "",
        batch: int = 1,
        compiled: bool = False,
    ) -> None:
        label = f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
        super().__init__(
            EngineInfo("torch", label, precision, name, model.image_size, fingerprint), prompt_encoder(model)
        )
        self.batch = batch
        self._device = device
        self._layout = Layout(model.image_size)
        model = copy.deepcopy(model)  # the modules below share layers with it, and change their type
        encoder = ImageEncoder(model, merged=True).round_products(TYPES[precision])
        choice = MaskChoice(model.image_size // 4, self._prompts.stability)
        parts = (encoder, ImageProjections(model), MaskPrompt(model), MaskDecoder(model), choice)
        self._encoder, self._projections, self._mask_prompt, self._decoder, self._choice = (
            part.to(device).eval().requires_grad_(False) for part in parts
        )
        if compiled:
            self._encoder.compile(mode="max-autotune-no-cudagraphs")
        elif device.type == "cuda":
            fuse(self._encoder, self._decoder)
        self._gain, self._offset = (torch.from_numpy(values).to(device)[:, None, None] for values in (GAIN, OFFSET))

        with float32_products("ieee" if precision == "f32" else "tf32"):
            self._capture(model.image_size)

    def _capture(self, image_size: int) -> None:
        device, batch = self._device, self.batch
        self._clicks, self._encodes = Lane(device, urgent=True), Lane(device)
        self._uploads, self._exports = Lane(device), Lane(device)
        with self._clicks.work():
            self._held = torch.zeros(self._layout.total, device=device)
            prior = torch.zeros(self._layout.shapes[2][0], 16, device=device)
            prompts = {count: torch.zeros(count * (CHANNELS + 1) + 1, device=device) for count in TOKENS}
        self._sent = {count: self._clicks.host_buffer(len(prompt)) for count, prompt in prompts.items()}
        self._project = Graph(self._clicks, self._project_held)
        self._refine = Graph(self._clicks, self._refine_held, prior)
        self._decodes = {count: Graph(self._clicks, self._decode_held, prompt) for count, prompt in prompts.items()}
        self._answer = self._clicks.host_buffer((image_size // 4) ** 2 + 1)
        shape = (3, image_size, image_size)
        self._embeds = {
            count: Graph(self._encodes, self._embed, torch.zeros(count, *shape, device=device)) for count in {1, batch}
        }

    @property
    def room(self) -> int | None:
        """Bytes of the device's memory for embeddings: what is free, less what encodes and copies need meanwhile."""
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        return max(0, free - WORKING_BYTES)

    def pixels(self, image: NDArray[np.uint8]) -> Tensor:
        """Uploads and resizes, beside whatever else the device does: (3, S, S) float32 on the device."""
        check_image(image)
        size = (self._info.image_size, self._info.image_size)
        sent = self._uploads.host_buffer(*image.shape, kind=torch.uint8)
        np.copyto(sent.numpy(), image)
        with self._uploads.work():
            upright = sent.to(self._device, non_blocking=True)
            # One channel at a time: a large image in float32 is the largest thing there is.
            channels = [
                interpolate(upright[None, None, :, :, channel].float(), size, mode="bilinear", antialias=True)[0]
                for channel in range(3)
            ]
            return torch.cat(channels) * self._gain + self._offset

    def encode_batch(self, pixels: Sequence[Pixels]) -> list[Prepared]:
        graph = self._embeds[len(pixels)]
        with self._encodes.work():
            for mine, given in zip(graph.inputs[0], pixels, strict=True):
                assert isinstance(given, Tensor)
                mine.copy_(given)
            (states,) = graph.run()
            return [OnDevice(state.clone()) for state in states]

    def export(self, prepared: Prepared) -> HostEmbedding:
        assert isinstance(prepared, OnDevice)
        maps = self._exports.host_buffer(self._layout.maps, kind=torch.half)
        with self._exports.work():
            maps.copy_(prepared.state[: self._layout.maps], non_blocking=True)
        return HostEmbedding(*(level.numpy() for level in self._layout.split(maps)))

    def restore(self, embedding: HostEmbedding) -> Prepared:
        check_embedding(embedding, self._info.image_size)
        maps = self._clicks.host_buffer(self._layout.maps, kind=torch.half)
        arrays = (embedding.high_res_0, embedding.high_res_1, embedding.image)
        for mine, given in zip(self._layout.split(maps), arrays, strict=True):
            np.copyto(mine.numpy(), given)
        with self._clicks.work():
            self._held[: self._layout.maps].copy_(maps.to(self._device, non_blocking=True))
            self._project.run()
            return OnDevice(self._held.half())

    def best_mask(self, prepared: Prepared, prompt: Prompt) -> tuple[NDArray[np.float32], float]:
        with self._clicks.work():
            *_, answer = self._decode(prepared, *self._inputs(prompt), prompt.multimask)
            self._answer.copy_(answer, non_blocking=True)
        answered: NDArray[np.float32] = self._answer.numpy().copy()
        side = self._info.image_size // 4
        return answered[:-1].reshape(side, side), probability(answered[-1])

    def _run(
        self, prepared: Prepared, tokens: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with self._clicks.work():
            masks, scores, _ = self._decode(prepared, tokens, logits)
            return masks.cpu().numpy(), scores.cpu().numpy()

    def _decode(
        self,
        prepared: Prepared,
        tokens: NDArray[np.float32],
        logits: NDArray[np.float32] | None,
        multimask: bool = True,
    ) -> Tensors:
        assert isinstance(prepared, OnDevice)
        self._held.copy_(prepared.state)
        if logits is not None:
            self._refine.inputs[0].copy_(torch.from_numpy(logits))
            self._refine.run()
        count = tokens.shape[1]
        length = next((known for known in TOKENS if known >= count), count)
        sent = self._sent[length] if length in self._sent else torch.zeros(length * (CHANNELS + 1) + 1)
        filled, absent, flag = _parts(sent)
        filled.zero_()
        filled[0, :count] = torch.from_numpy(tokens[0])
        absent[:count], absent[count:] = 0, -torch.inf
        flag[0] = multimask
        if length not in self._decodes:
            return self._decode_held(sent.to(self._device))
        graph = self._decodes[length]
        graph.inputs[0].copy_(sent, non_blocking=True)
        return graph.run()

    def _embed(self, pixels: Tensor) -> Tensors:
        maps = [level.half().view(len(pixels), -1) for level in self._encoder(pixels)]
        images = maps[2].view(len(pixels), *self._layout.shapes[2])
        projected = [torch.cat([part.half().view(-1) for part in self._projections(image.float())]) for image in images]
        return (torch.cat([*maps, torch.stack(projected)], 1),)

    def _project_held(self) -> Tensors:
        _, _, image, *projections = self._layout.split(self._held)
        for part, value in zip(projections, self._projections(image), strict=True):
            part.copy_(value)
        return ()

    def _refine_held(self, prior: Tensor) -> Tensors:
        image = self._layout.split(self._held)[2]
        image.copy_(self._mask_prompt(image, prior))
        return self._project_held()

    def _decode_held(self, prompt: Tensor) -> Tensors:
        tokens, absent, multimask = _parts(prompt)
        masks, scores = self._decoder(*self._layout.split(self._held), tokens, absent)
        return masks, scores[0], self._choice(masks, scores[0], multimask)


@contextlib.contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """How kernels that are chosen inside multiply float32: `ieee`, or `tf32` with 11 bits, as many as a stored map has.

    TF32 is a third of float32's time for the ends of the encoder, which are not the half type's, and for the decoder.
    """
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = precision
    try:
        yield
    finally:
        for setting, kept in zip(settings, before, strict=True):
            setting.fp32_precision = kept


def _parts(prompt: Tensor) -> list[Tensor]:
    """Views of what is sent for a prompt: its tokens (1, T, 256), which of them are absent (T,), multimask (1,)."""
    count = len(prompt) // (CHANNELS + 1)
    tokens, absent, multimask = prompt.split([count * CHANNELS, count, 1])  # type: ignore[no-untyped-call]
    return [tokens.view(1, count, CHANNELS), absent, multimask]
