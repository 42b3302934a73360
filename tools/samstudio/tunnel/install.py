"""Put an ngrok agent in place from an archive whose sha256 is known."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import httpx

from samstudio import files
from samstudio.tunnel.failures import CHECKSUM, DOWNLOAD_BLOCKED, NOT_AN_ARCHIVE, TunnelError

EXECUTABLE = "ngrok"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)


def install_agent(source: str, sha256: str, destination: Path) -> None:
    """Install the agent of ``source`` (an http(s) URL or a file, .tgz or .zip) as ``destination``, 0755, atomically.

    Raises:
        TunnelError: the download is blocked, the sum differs, or there is no agent inside. Nothing is written then.
    """
    archive = _fetch(source)
    found = hashlib.sha256(archive).hexdigest()
    if found != sha256.lower():
        raise TunnelError(CHECKSUM, found=found, expected=sha256)
    executable = _executable_of(archive, source)
    destination.parent.mkdir(parents=True, exist_ok=True)
    files.write(destination, executable, mode=0o755)


def _fetch(source: str) -> bytes:
    try:
        if not source.startswith(("http://", "https://")):
            return Path(source).read_bytes()
        answer = httpx.get(source, timeout=TIMEOUT, follow_redirects=True)
        answer.raise_for_status()
    except (OSError, httpx.HTTPError) as error:
        raise TunnelError(DOWNLOAD_BLOCKED, source=source, reason=error) from error
    return answer.content


def _executable_of(archive: bytes, source: str) -> bytes:
    try:
        if zipfile.is_zipfile(io.BytesIO(archive)):
            with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
                return zipped.read(EXECUTABLE)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = tar.extractfile(EXECUTABLE)
            if member is not None:
                return member.read()
    except (tarfile.TarError, KeyError, zipfile.BadZipFile):
        pass
    raise TunnelError(NOT_AN_ARCHIVE, source=source)
