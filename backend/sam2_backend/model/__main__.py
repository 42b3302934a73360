"""Checkpoints by hand.

python -m sam2_backend.model fetch tiny --dir DIR [--mirror URL]
python -m sam2_backend.model list
python -m sam2_backend.model check CONFIG FILE
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from sam2_backend.model.checkpoints import CHECKPOINTS, Checkpoint, official
from sam2_backend.model.download import FetchError, OnProgress, fetch


def _print_progress(known: Checkpoint) -> OnProgress:
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
    from sam2_backend.engine.build import build_model
    from sam2_backend.engine.errors import EngineError
    from sam2_backend.engine.select import config_path

    try:
        build_model(config_path(config), file)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sam2_backend.model", description="Official SAM 2 checkpoints")
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
    chosen = official(options.name)
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
