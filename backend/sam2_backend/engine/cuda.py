"""Which GPU serves, in which precision, and whether its masks are right."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import torch

from sam2_backend.engine.build import build_model
from sam2_backend.engine.errors import DeviceUnavailable, SelfCheckFailed
from sam2_backend.engine.fingerprints import fingerprint
from sam2_backend.engine.interface import EngineOutOfMemory
from sam2_backend.engine.lane import memory_left
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import check, compute_golden
from sam2_backend.engine.torch_engine import TorchEngine, float32_products

# The fastest that a card is good at first, then what is nearer to float32.
PRECISIONS = ("bf16", "f16", "f32")
# Images encoded at once while a project is prewarmed, where so many bytes of the card are free.
BATCH = 4
BATCH_BYTES = 10 << 30
log = logging.getLogger(__name__)


def load_cuda(config: Path, checkpoint: Path, weights: str, *, device: str, precision: str) -> TorchEngine:
    """The engine on a GPU, checked against fp32 on the same GPU. weights: the checkpoint's sha256.

    Raises DeviceUnavailable, saying what PyTorch sees, if there is no such GPU or it does not compute in `precision`;
    and what `build_model` and `selfcheck.check` raise.
    """
    chosen = find_gpu(device)
    capability = torch.cuda.get_device_capability(chosen)
    best = "bf16" if capability >= (8, 0) else "f16" if capability >= (7, 0) else "f32"
    if precision not in ("auto", *PRECISIONS):
        raise DeviceUnavailable(f"PRECISION={precision} is not served on a GPU; expected auto, bf16, f16 or f32")
    choices = PRECISIONS[PRECISIONS.index(best) :] if precision == "auto" else (precision,)
    model = build_model(config, checkpoint)
    failures: list[str] = []
    free, _ = torch.cuda.mem_get_info(chosen)
    batch = BATCH if free >= BATCH_BYTES else 1
    try:
        with float32_products("ieee"):
            golden = compute_golden(ReferenceEngine(copy.deepcopy(model).to(chosen)))
        for choice in choices:
            engine = TorchEngine(
                model,
                chosen,
                precision=choice,
                name=checkpoint.stem,
                fingerprint=fingerprint(weights, config, choice),
                batch=batch,
            )
            try:
                check(engine, golden)
            except SelfCheckFailed as error:
                failures.append(f"PyTorch on {chosen} in {choice} is refused: {error}")
                log.warning("%s", failures[-1])
            else:
                engine.refused = "; ".join(failures)
                return engine
    except (EngineOutOfMemory, torch.cuda.OutOfMemoryError) as error:
        raise DeviceUnavailable(
            f"{chosen} ({torch.cuda.get_device_name(chosen)}) has no room for {checkpoint.name}: {memory_left(chosen)};"
            " use a smaller model, or end what else uses the card (nvidia-smi lists it)"
        ) from error
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
