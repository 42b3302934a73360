"""A download of a checkpoint that can be trusted: resumed, locked, and in place only with the right digest."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from sam2_backend.engine.fingerprints import file_sha256
from sam2_backend.model.checkpoints import Checkpoint

PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)

OnProgress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


class FetchError(Exception):
    """The checkpoint could not be fetched; the message says why and what to do."""


def fetch(known: Checkpoint, folder: Path, *, mirror: str | None = None, progress: OnProgress | None = None) -> Path:
    """Download a checkpoint into `folder`, or do nothing if it is there and right. Returns its path.

    A broken download stays as `FILE.part` and is carried on by the next call. mirror: a base URL under which the files
    lie by name. The file appears only with the right sha256. Raises FetchError.
    """
    target = folder / known.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f".{known.file}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if target.is_file() and file_sha256(target) == known.sha256:
                return target
            part = target.with_name(target.name + ".part")
            url = known.url(mirror or "")
            _download(url, part, known, progress)
            digest = file_sha256(part)
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


def _download(url: str, part: Path, known: Checkpoint, progress: OnProgress | None, attempts: int = 5) -> None:
    """Fill `part`, carrying on after broken connections as long as each attempt brings something."""
    for attempt in range(1, attempts + 1):
        before = part.stat().st_size if part.exists() else 0
        if known.size is not None and before == known.size:
            return
        try:
            asyncio.run(_stream(url, part, known, progress))
            return
        except aiohttp.ClientResponseError as error:
            if error.status < 500 and error.status != 429:
                raise FetchError(f"{url} answered {error.status} {error.message}") from error
            reason: Exception = error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = error
        gained = (part.stat().st_size if part.exists() else 0) - before
        if attempt == attempts and gained <= 0:
            break
        time.sleep(min(0.2 * 2**attempt, 5))
    raise FetchError(
        f"{url} could not be read to its end ({type(reason).__name__}: {reason}); what came is kept, run it again."
        " Behind a proxy set HTTPS_PROXY; for a local copy use --mirror"
    )


async def _stream(url: str, part: Path, known: Checkpoint, progress: OnProgress | None) -> None:
    """Raises FetchError for what no other attempt mends, aiohttp.ClientError or TimeoutError for the rest."""
    have = part.stat().st_size if part.exists() else 0
    if known.size is not None and have > known.size:
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with (
        aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=True, auto_decompress=False) as session,
        session.get(url, headers=headers) as response,
    ):
        if response.status == RANGE_NOT_SATISFIABLE:
            return  # there is nothing after what we have; the digest decides
        response.raise_for_status()
        if response.status != PARTIAL_CONTENT:
            have = 0
        total = known.size if response.content_length is None else have + response.content_length
        if known.size is not None and total != known.size:
            raise FetchError(f"{url} offers {total:,} bytes, but {known.file} has {known.size:,}")
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - have > free:
            raise FetchError(
                f"{part.parent} has {free / 1e6:,.0f} MB free, {known.file} needs {(total - have) / 1e6:,.0f} MB"
            )
        with part.open("ab" if have else "wb") as file:
            async for chunk in response.content.iter_any():
                file.write(chunk)
                have += len(chunk)
                if progress:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())
