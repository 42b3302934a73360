"""Which engine serves this host: CUDA where PyTorch finds a GPU, OpenVINO elsewhere."""

from __future__ import annotations

import importlib.util
import itertools
import logging
from pathlib import Path

from sam2_backend.engine.converted import ensure
from sam2_backend.engine.errors import (
    CheckpointError,
    DeviceUnavailable,
    EngineError,
    SelfCheckFailed,
    UnsupportedModel,
)
from sam2_backend.engine.fingerprints import file_sha256, fingerprint
from sam2_backend.engine.interface import Engine
from sam2_backend.engine.prompt_encoder import PromptEncoder
from sam2_backend.engine.selfcheck import Golden, check

DEVICES = ("auto", "cpu", "cuda")
# Of the encoder and the decoder, what is tried where the first of them was asked for.
PRECISIONS_OF = {"bf16": [("bf16", "bf16"), ("bf16", "f32")], "f32": [("f32", "f32")], "int8": [("int8", "f32")]}
OFFICIAL_SIZE = 1024  # a smaller model is quick in float32, and bfloat16 would cost it mask IoU for nothing

log = logging.getLogger(__name__)


def load_engine(
    config: str | Path,
    checkpoint: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    cache_dir: Path,
    weights: str = "",
) -> Engine:
    """The engine for this host, checked against fp32 of the same weights.

    config: a name as SAM 2 gives it (`configs/sam2.1/sam2.1_hiera_t.yaml`) or a file. device: `auto`, `cpu`, `cuda` or
    `cuda:N`. precision: of the encoder, `auto`, `bf16`, `f16` (CUDA), `int8` (CPU) or `f32`. threads: of the CPU
    engine, 0 for all. weights: sha256 of the checkpoint where it is known already, for a large one takes seconds.

    Raises an EngineError (`errors.py`) whose message says what was found, what was expected and what to do.
    """
    kind, _, _ = device.partition(":")
    if kind not in DEVICES:
        raise DeviceUnavailable(f"DEVICE={device} is not known; expected auto, cpu, cuda or cuda:N")
    path = config_path(config)
    if not checkpoint.is_file():
        raise CheckpointError(
            f"no checkpoint at {checkpoint}; put it there, or fetch an official one with:"
            f" python -m sam2_backend.model fetch tiny --dir {checkpoint.parent}"
        )
    weights = weights or file_sha256(checkpoint)
    if kind == "cuda" or (kind == "auto" and _gpu_device_files() and _torch_sees_gpu()):
        from sam2_backend.engine.cuda import load_cuda

        return load_cuda(path, checkpoint, weights, device="cuda" if kind == "auto" else device, precision=precision)
    return _load_openvino(path, checkpoint, weights, precision, threads, cache_dir)


def config_path(config: str | Path) -> Path:
    """A config file, or the file of a name inside the `sam2` package. Raises UnsupportedModel."""
    if Path(config).is_file():
        return Path(config)
    spec = importlib.util.find_spec("sam2")  # found, not imported: that would import PyTorch
    for folder in spec.submodule_search_locations or [] if spec else []:
        for name in (Path(config), Path("configs") / config):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise UnsupportedModel(
        f"MODEL_CONFIG={config} is neither a file nor a config of the sam2 package;"
        " expected for example configs/sam2.1/sam2.1_hiera_t.yaml"
    )


def _load_openvino(config: Path, checkpoint: Path, weights: str, precision: str, threads: int, cache: Path) -> Engine:
    from sam2_backend.engine.openvino import OpenVinoEngine

    if precision not in ("auto", "bf16", "f32", "int8"):
        raise DeviceUnavailable(f"PRECISION={precision} is not served on a CPU; expected auto, bf16, f32 or int8")
    if precision == "int8" and not _cpu_has("avx512_vnni", "avx_vnni", "amx_int8"):
        log.warning("PRECISION=int8, but this CPU has no VNNI: f32 is faster on it")
    if precision == "bf16" and not cpu_multiplies_bf16():
        raise DeviceUnavailable(
            "PRECISION=bf16, but this CPU does not multiply bfloat16 (/proc/cpuinfo has neither avx512_bf16 nor"
            " amx_bf16), so that OpenVINO would compute in float32; expected auto or f32"
        )
    folder = ensure(config, checkpoint, weights, cache, int8=precision == "int8")
    golden = Golden.load(folder / "golden.npz")
    choices = [precision]
    if precision == "auto":
        small = PromptEncoder.load(folder / "prompts.npz").image_size < OFFICIAL_SIZE
        choices = ["bf16", "f32"] if cpu_multiplies_bf16() and not small else ["f32"]
    failure: EngineError | None = None
    for encoder, decoder in itertools.chain.from_iterable(PRECISIONS_OF[choice] for choice in choices):
        engine = OpenVinoEngine(
            folder,
            precision=encoder,
            decoder=decoder,
            threads=threads,
            name=checkpoint.stem,
            fingerprint=fingerprint(weights, config, encoder),
        )
        try:
            check(engine, golden)
        except SelfCheckFailed as error:
            failure = SelfCheckFailed(f"OpenVINO in {encoder}, its decoder in {decoder}, is refused: {error}")
            log.warning("%s", failure)
        else:
            engine.refused = str(failure or "")
            return engine
    assert failure is not None
    raise failure


def cpu_multiplies_bf16() -> bool:
    return _cpu_has("avx512_bf16", "amx_bf16")


def _cpu_has(*extensions: str) -> bool:
    """Whether the CPU has one of these."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(extension in flags for extension in extensions)


def _gpu_device_files() -> bool:
    """Asked first, because importing PyTorch to learn that there is no GPU costs seconds."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _torch_sees_gpu() -> bool:
    import torch

    if torch.cuda.is_available():
        return True
    log.warning("a GPU device file is there but PyTorch %s finds no usable GPU; serving on the CPU", torch.__version__)
    return False
