"""The official SAM 2 checkpoints: names, configs, digests, and where they are. Needs the standard library alone.

Names are those of the upstream tutorial: MODEL_CONFIG=configs/sam2.1/sam2.1_hiera_t.yaml and
MODEL_CHECKPOINT=sam2.1_hiera_tiny.pt. The aliases tiny, small, base_plus, large and demo stand for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sam2_backend import demo

OFFICIAL_BASE = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An official checkpoint. size is in bytes, None where no publisher states it."""

    alias: str
    file: str
    config: str
    folder: str
    size: int | None
    sha256: str

    def url(self, mirror: str = "") -> str:
        """Where it lies: at its publisher, or by name under a mirror's base URL."""
        return f"{mirror.rstrip('/')}/{self.file}" if mirror else f"{OFFICIAL_BASE}/{self.folder}/{self.file}"


def _official(generation: str, folder: str, size: str, letter: str, length: str, sha256: str) -> Checkpoint:
    alias = size if generation == "sam2.1" else f"sam2_{size}"
    config = f"configs/{generation}/{generation}_hiera_{letter}.yaml"
    return Checkpoint(
        alias, f"{generation}_hiera_{size}.pt", config, folder, int(length) if length != "-" else None, sha256
    )


# Digests as agreed by independent publishers of the 2.1 files; for sam2_hiera_{small,base_plus,large} by one.
_TABLE = """
sam2.1 092824 tiny      t  156008466 7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69
sam2.1 092824 small     s  184416285 6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38
sam2.1 092824 base_plus b+ 323606802 a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5
sam2.1 092824 large     l  898083611 2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318
sam2   072824 tiny      t  155906050 65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125
sam2   072824 small     s          - 95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3
sam2   072824 base_plus b+         - d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071
sam2   072824 large     l          - 7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b
"""

CHECKPOINTS = tuple(_official(*line.split()) for line in _TABLE.split("\n") if line)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What to load. config: a name inside the `sam2` package or a file; official: the table's entry, if it is one."""

    config: str
    checkpoint: Path
    official: Checkpoint | None

    @property
    def demo(self) -> bool:
        return self.checkpoint == demo.CHECKPOINT


def official(name: str) -> Checkpoint | None:
    """The official checkpoint of an alias, a file name, a path to such a file, or a config name."""
    for known in CHECKPOINTS:
        if name in (known.alias, known.config) or Path(name).name in (known.file, Path(known.config).name):
            return known
    return None


def resolve_model(config: str, checkpoint: str, model_dir: Path) -> ModelFiles:
    """The files that MODEL_CONFIG and MODEL_CHECKPOINT mean; either may be an alias, and one of them may be empty.

    A checkpoint that is not an existing path is looked for in `model_dir`; it need not be there yet.
    Raises ValueError if neither is given, or if a name is unknown where a table entry is needed.
    """
    if "demo" in (config, checkpoint):
        return ModelFiles(str(demo.CONFIG), demo.CHECKPOINT, None)
    named = official(checkpoint or config)
    if not checkpoint:
        if named is None:
            raise ValueError(
                f"MODEL_CONFIG={config!r} names no official model and MODEL_CHECKPOINT is not set;"
                f" expected one of {', '.join(known.alias for known in CHECKPOINTS)}, demo"
            )
        checkpoint = named.file
    elif named is not None and checkpoint == named.alias:
        checkpoint = named.file
    if not config:
        if named is None:
            raise ValueError(
                f"MODEL_CHECKPOINT={checkpoint!r} is not an official file, so MODEL_CONFIG must name its config,"
                " for example configs/sam2.1/sam2.1_hiera_t.yaml"
            )
        config = named.config
    else:
        by_alias = next((known for known in CHECKPOINTS if known.alias == config), None)
        config = by_alias.config if by_alias else config
    path = Path(checkpoint)
    if not path.is_absolute() and not path.is_file():
        path = model_dir / path
    return ModelFiles(config, path, official(path.name))
