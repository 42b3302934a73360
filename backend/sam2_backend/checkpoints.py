"""The official SAM 2 checkpoints: names, configs, where they are, and a download that can be trusted.

Names are those of the upstream tutorial: MODEL_CONFIG=configs/sam2.1/sam2.1_hiera_t.yaml and
MODEL_CHECKPOINT=sam2.1_hiera_tiny.pt. The aliases tiny, small, base_plus, large and demo stand for both.

    python -m sam2_backend.checkpoints fetch tiny --dir DIR [--mirror URL]
    python -m sam2_backend.checkpoints list
    python -m sam2_backend.checkpoints check CONFIG FILE
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

OFFICIAL_BASE = "https://dl.fbaipublicfiles.com/segment_anything_2"
DEMO = Path(__file__).parent / "demo"

_TIMEOUT = httpx.Timeout(connect=10, read=30, write=30, pool=10)

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


class FetchError(Exception):
    """The checkpoint could not be fetched; the message says why and what to do."""


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
        return self.checkpoint.parent == DEMO


def find(name: str) -> Checkpoint | None:
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
        return ModelFiles(str(DEMO / "sam2.1_demo.yaml"), DEMO / "sam2.1_demo.pt", None)
    named = find(checkpoint or config)
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
    return ModelFiles(config, path, find(path.name))


def fetch(known: Checkpoint, folder: Path, *, mirror: str | None = None, progress: Progress | None = None) -> Path:
    """Download a checkpoint into `folder`, or do nothing if it is there and right. Returns its path.

    A broken download stays as `FILE.part` and is carried on by the next call. mirror: a base URL under which the files
    lie by name. The file appears only with the right sha256. Raises FetchError.
    """
    target = folder / known.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f".{known.file}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if target.is_file() and _sha256(target) == known.sha256:
                return target
            part = target.with_name(target.name + ".part")
            url = known.url(mirror or "")
            _download(url, part, known, progress)
            digest = _sha256(part)
            if digest != known.sha256:
                size = part.stat().st_size
                part.unlink()
                raise FetchError(
                    f"{url} is not {known.file}: {size:,} bytes with sha256 {digest}, expected {known.sha256};"
                    " it was thrown away (a mirror or proxy that answers with something else?)"
                )
            part.replace(target)
    except OSError as error:
        raise FetchError(f"cannot write {target}: {error.strerror}") from error
    return target


def _download(url: str, part: Path, known: Checkpoint, progress: Progress | None, attempts: int = 5) -> None:
    """Fill `part`, carrying on after broken connections as long as each attempt brings something."""
    for attempt in range(1, attempts + 1):
        before = part.stat().st_size if part.exists() else 0
        if known.size is not None and before == known.size:
            return
        try:
            with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
                _stream(client, url, part, known, progress)
                return
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise FetchError(f"{url} answered {status} {error.response.reason_phrase}") from error
            reason: Exception = error
        except httpx.TransportError as error:
            reason = error
        gained = (part.stat().st_size if part.exists() else 0) - before
        if attempt == attempts and gained <= 0:
            break
        time.sleep(min(0.2 * 2**attempt, 5))
    raise FetchError(
        f"{url} could not be read to its end ({type(reason).__name__}: {reason}); what came is kept, run it again."
        " Behind a proxy set HTTPS_PROXY; for a local copy use --mirror"
    )


def _stream(client: httpx.Client, url: str, part: Path, known: Checkpoint, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if known.size is not None and have > known.size:
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is nothing after what we have; the digest decides
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            have = 0
        length = response.headers.get("content-length")
        total = have + int(length) if length and length.isdigit() else known.size
        if known.size is not None and total != known.size:
            raise FetchError(f"{url} offers {total:,} bytes, but {known.file} has {known.size:,}")
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - have > free:
            raise FetchError(
                f"{part.parent} has {free / 1e6:,.0f} MB free, {known.file} needs {(total - have) / 1e6:,.0f} MB"
            )
        with part.open("ab" if have else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                have += len(chunk)
                if progress:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _print_progress(known: Checkpoint) -> Progress:
    began, told = time.monotonic(), [0.0]

    def progress(done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - told[0] < 1 and done != total:
            return
        told[0] = now
        share = f"{done / total:4.0%} of {total / 1e6:,.0f} MB" if total else f"{done / 1e6:,.0f} MB"
        sys.stderr.write(f"{known.file}: {share}, {done / 1e6 / max(now - began, 1e-3):.1f} MB/s\n")

    return progress


def _check(config: str, file: Path) -> int:
    from .engine.build import build_model
    from .engine.errors import EngineError
    from .engine.select import config_path

    try:
        build_model(config_path(config), file)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sam2_backend.checkpoints", description="Official SAM 2 checkpoints"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what can be fetched")
    getting = commands.add_parser("fetch", help="download one, carry on a broken download, verify it")
    getting.add_argument("name", help="alias, such as tiny, or file name")
    getting.add_argument("--dir", type=Path, required=True)
    getting.add_argument("--mirror", default=os.environ.get("MODEL_MIRROR") or None, help="base URL (or MODEL_MIRROR)")
    checking = commands.add_parser("check", help="whether a file holds the weights of a config")
    checking.add_argument("config", help="such as configs/sam2.1/sam2.1_hiera_t.yaml, or a file")
    checking.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "check":
        return _check(options.config, options.file)
    if options.command == "list":
        for known in CHECKPOINTS:
            size = f"{known.size / 1e6:.0f} MB" if known.size else "size unknown"
            sys.stdout.write(f"{known.alias}\t{known.file}\t{known.config}\t{size}\n")
        return 0
    chosen = find(options.name)
    if chosen is None:
        aliases = ", ".join(entry.alias for entry in CHECKPOINTS)
        sys.stderr.write(f"{options.name!r} is not an official checkpoint; expected one of {aliases}\n")
        return 2
    try:
        path = fetch(chosen, options.dir, mirror=options.mirror, progress=_print_progress(chosen))
    except FetchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
