"""The agent comes from an archive whose sha256 is known, or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from samstudio.tunnel.failures import TunnelError
from samstudio.tunnel.install import install_agent

AGENT = b"#!/bin/sh\necho agent\n"


def tgz(name: str = "ngrok") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(AGENT)
        tar.addfile(member, io.BytesIO(AGENT))
    return content.getvalue()


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("ngrok", AGENT)
    return content.getvalue()


@pytest.mark.parametrize("archive", [tgz(), zipped()], ids=["tgz", "zip"])
def test_an_archive_with_the_right_sum_is_installed(tmp_path: Path, archive: bytes) -> None:
    source = tmp_path / "archive"
    source.write_bytes(archive)
    agent = tmp_path / "bin" / "ngrok"
    install_agent(str(source), hashlib.sha256(archive).hexdigest(), agent)
    assert agent.read_bytes() == AGENT
    assert agent.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("archive", "sha256", "failure"),
    [
        (tgz(), "0" * 64, "tunnel-agent-checksum"),
        (b"<html>please sign in</html>", None, "tunnel-agent-not-an-archive"),
        (tgz("../ngrok"), None, "tunnel-agent-not-an-archive"),
    ],
    ids=["another sum", "a proxy's page", "no agent inside"],
)
def test_anything_else_installs_nothing(tmp_path: Path, archive: bytes, sha256: str, failure: str) -> None:
    source = tmp_path / "archive"
    source.write_bytes(archive)
    with pytest.raises(TunnelError) as told:
        install_agent(str(source), sha256 or hashlib.sha256(archive).hexdigest(), tmp_path / "bin" / "ngrok")
    assert told.value.failure.id == failure
    assert not (tmp_path / "bin").exists()


def test_a_blocked_download_says_how_to_do_without(tmp_path: Path) -> None:
    with pytest.raises(TunnelError) as told:
        install_agent("http://127.0.0.1:9/ngrok.tgz", "0" * 64, tmp_path / "ngrok")
    assert told.value.failure.id == "tunnel-agent-download-blocked"
    assert "--source FILE" in told.value.command
