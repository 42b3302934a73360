"""Names, and downloads from a real HTTP server that misbehaves in the ways that mirrors and proxies do."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sam2_backend import demo
from sam2_backend.model import checkpoints, download
from sam2_backend.model.__main__ import main
from sam2_backend.model.checkpoints import CHECKPOINTS, Checkpoint, official, resolve_model
from sam2_backend.model.download import FetchError, fetch

CONTENT = bytes(range(256)) * 12_000  # 3 MB


class Mirror(ThreadingHTTPServer):
    """Serves CONTENT; `behaviour` says how. Requests' Range headers are kept in `ranges`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = "good"
        self.ranges: list[str | None] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/"


class Handler(BaseHTTPRequestHandler):
    server: Mirror
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        self.server.paths.append(self.path)
        behaviour = self.server.behaviour
        body = CONTENT[:-1] + b"?" if behaviour == "wrong" else CONTENT
        if behaviour == "page":
            body = b"<html>Sign in to the hospital network</html>"
        if behaviour.isdigit():
            self.send_error(int(behaviour))
            return
        start = 0
        if asked and behaviour not in ("no ranges", "page"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if behaviour == "drops" and len(self.server.ranges) < 4:
            self.wfile.write(body[start : start + 700_000])
            self.close_connection = True
        else:
            self.wfile.write(body[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def known() -> Checkpoint:
    return replace(CHECKPOINTS[0], size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


def test_download(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch(known, tmp_path / "new", mirror=mirror.url, progress=lambda *step: told.append(step))
    assert path == tmp_path / "new" / "sam2.1_hiera_tiny.pt"
    assert path.read_bytes() == CONTENT
    assert mirror.paths == ["/models/sam2.1_hiera_tiny.pt"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    fetch(known, tmp_path / "new", mirror=mirror.url)
    assert len(mirror.paths) == 1  # it is there and right


def test_dropped_connections_are_carried_on(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    mirror.behaviour = "drops"
    assert fetch(known, tmp_path, mirror=mirror.url).read_bytes() == CONTENT
    assert mirror.ranges == [None, "bytes=700000-", "bytes=1400000-", "bytes=2100000-"]
    assert not list(tmp_path.glob("*.part"))


def test_an_earlier_run_is_carried_on(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt.part").write_bytes(CONTENT[:123_456])
    assert fetch(known, tmp_path, mirror=mirror.url).read_bytes() == CONTENT
    assert mirror.ranges == ["bytes=123456-"]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_finished_part_is_only_verified(size: int | None, mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt.part").write_bytes(CONTENT)
    assert fetch(replace(known, size=size), tmp_path, mirror=mirror.url).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    mirror.behaviour = "no ranges"
    (tmp_path / "sam2.1_hiera_tiny.pt.part").write_bytes(b"x" * 1000)
    assert fetch(known, tmp_path, mirror=mirror.url).read_bytes() == CONTENT


def test_a_wrong_file_is_thrown_away(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    mirror.behaviour = "wrong"
    with pytest.raises(FetchError, match=rf"is not sam2.1_hiera_tiny.pt: .* expected {known.sha256}"):
        fetch(known, tmp_path, mirror=mirror.url)
    assert not list(tmp_path.glob("sam2*"))
    mirror.behaviour = "good"
    assert fetch(known, tmp_path, mirror=mirror.url).read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(CONTENT[:-5])
    assert fetch(known, tmp_path, mirror=mirror.url).read_bytes() == CONTENT


def test_a_sign_in_page_is_refused_by_its_length(mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    mirror.behaviour = "page"
    with pytest.raises(FetchError, match=r"offers 44 bytes, but sam2.1_hiera_tiny.pt has 3,072,000"):
        fetch(known, tmp_path, mirror=mirror.url)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_told_at_once(status: int, mirror: Mirror, known: Checkpoint, tmp_path: Path) -> None:
    mirror.behaviour = str(status)
    with pytest.raises(FetchError, match=f"answered {status}"):
        fetch(known, tmp_path, mirror=mirror.url)
    assert len(mirror.paths) == 1


def test_a_failing_server_is_asked_several_times(
    mirror: Mirror, known: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    mirror.behaviour = "503"
    with pytest.raises(FetchError, match="could not be read to its end"):
        fetch(known, tmp_path, mirror=mirror.url)
    assert len(mirror.paths) == 5


def test_no_server(known: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with pytest.raises(FetchError, match="ClientConnectorError"):
        fetch(known, tmp_path, mirror="http://127.0.0.1:9/")


def test_full_disk(mirror: Mirror, known: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(FetchError, match=r"has 1 MB free, sam2.1_hiera_tiny\.pt needs 3 MB"):
        fetch(known, tmp_path, mirror=mirror.url)


def test_folder_that_cannot_be_written(known: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="cannot write"):
        fetch(known, tmp_path / "file")


def test_command_line(mirror: Mirror, tmp_path: Path) -> None:
    """The mirror serves something else than the real tiny: told, and nothing is left."""
    command = [sys.executable, "-m", "sam2_backend.model", "fetch", "tiny", "--dir", str(tmp_path)]
    done = subprocess.run([*command, "--mirror", mirror.url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "offers 3,072,000 bytes, but sam2.1_hiera_tiny.pt has 156,008,466" in done.stderr


def test_command_line_success(
    mirror: Mirror,
    known: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", (known,))
    monkeypatch.setenv("MODEL_MIRROR", mirror.url)
    assert main(["fetch", "tiny", "--dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / known.file)
    assert "100% of 3 MB" in err


def test_command_line_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "huge", "--dir", "."]) == 2
    assert "expected one of tiny, small, base_plus, large" in capsys.readouterr().err


def test_table() -> None:
    assert len({known.sha256 for known in CHECKPOINTS}) == len({known.file for known in CHECKPOINTS}) == 8
    assert all(len(known.sha256) == 64 for known in CHECKPOINTS)
    assert official("sam2_hiera_base_plus.pt").config == "configs/sam2/sam2_hiera_b+.yaml"  # type: ignore[union-attr]


TUTORIAL = ("configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny.pt")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (TUTORIAL, TUTORIAL),
        (("tiny", ""), TUTORIAL),
        (("", "tiny"), TUTORIAL),
        (("tiny", "tiny"), TUTORIAL),
        (("", "sam2.1_hiera_tiny.pt"), TUTORIAL),
        (("sam2.1_hiera_t.yaml", ""), ("sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny.pt")),
        (("base_plus", ""), ("configs/sam2.1/sam2.1_hiera_b+.yaml", "sam2.1_hiera_base_plus.pt")),
        (("tiny", "fine_tuned.pt"), ("configs/sam2.1/sam2.1_hiera_t.yaml", "fine_tuned.pt")),
    ],
)
def test_names_of_the_tutorial(given: tuple[str, str], expected: tuple[str, str], tmp_path: Path) -> None:
    files = resolve_model(*given, tmp_path)
    assert (files.config, files.checkpoint) == (expected[0], tmp_path / expected[1])
    assert not files.demo


@pytest.mark.parametrize("given", [("demo", ""), ("", "demo"), ("demo", "demo")])
def test_demo_model(given: tuple[str, str], tmp_path: Path) -> None:
    files = resolve_model(*given, tmp_path)
    assert files.demo
    assert files.checkpoint.parent == Path(files.config).parent == demo.FOLDER


def test_absolute_checkpoint(tmp_path: Path) -> None:
    files = resolve_model("tiny", str(tmp_path / "elsewhere" / "own.pt"), Path("/models"))
    assert files.checkpoint == tmp_path / "elsewhere" / "own.pt"
    assert files.official is None


@pytest.mark.parametrize("given", [("", ""), ("own.yaml", ""), ("", "own.pt")])
def test_names_that_do_not_suffice(given: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"MODEL_C\w+="):
        resolve_model(*given, tmp_path)
